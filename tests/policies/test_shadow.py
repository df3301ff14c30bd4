"""The guard's shadow of LRU: it finds in a prompt what LRU would find."""

from __future__ import annotations

import pytest
from blocks import PROMPT_TOKENS, hashes, inserted, matched, started

from radixdeck.policies.events import PrefixInserted
from radixdeck.policies.reuse.shadow import BLOCK_TOKENS, MOST_BLOCKS, REMEMBERED, Shadow


def test_the_shadow_finds_what_lru_would_find():
    shadow = Shadow()
    shadow.heard(started(3 * PROMPT_TOKENS))
    for number in range(3):
        assert shadow.asked(matched(number, number))[0] == 0
        shadow.inserted(inserted(number))
    assert shadow.asked(matched(3, 0, cached=512)) == (PROMPT_TOKENS, 512)
    shadow.inserted(inserted(3))
    shadow.asked(matched(4, 7))
    shadow.inserted(inserted(4))
    assert shadow.asked(matched(5, 1))[0] == 0
    assert shadow.asked(matched(6, 0))[0] == PROMPT_TOKENS
    shadow.flushed()
    assert shadow.asked(matched(7, 0))[0] == 0


def test_the_shadow_follows_prompts_that_are_told_as_what_they_repeat():
    shadow = Shadow()
    shadow.heard(started(MOST_BLOCKS * BLOCK_TOKENS))
    longer = 0
    for number in range(REMEMBERED + 6):
        base = {"base_rid": f"r{number - 1}", "base_tokens": longer} if number else {}
        tokens = longer + BLOCK_TOKENS // 2
        told = matched(number, 1, prompt_tokens=tokens, **base)
        assert shadow.asked(told)[0] == longer
        longer += BLOCK_TOKENS
        finish = PrefixInserted(
            t_ns=1, rid=f"r{number}", phase="finish", total_tokens=longer, new_tokens=0,
            output=hashes(1, tokens, longer))  # fmt: skip
        shadow.inserted(finish)
    forgotten = matched(999, 1, prompt_tokens=longer, base_rid="r0", base_tokens=longer - BLOCK_TOKENS)
    assert shadow.asked(forgotten)[1] == 0


def test_the_shadow_of_a_large_cache_is_a_sample():
    shadow = Shadow()
    shadow.heard(started(100 * MOST_BLOCKS * BLOCK_TOKENS))
    for number in range(200):
        shadow.asked(matched(number, number))
        shadow.inserted(inserted(number))
    found = sum(shadow.asked(matched(1000 + number, number))[0] for number in range(200))
    assert 0.6 < found / (200 * PROMPT_TOKENS) < 1.4


@pytest.mark.parametrize(("unknown_tokens", "found"), [(BLOCK_TOKENS - 1, PROMPT_TOKENS), (BLOCK_TOKENS, 0)])
def test_a_prompt_is_judged_if_its_unknown_beginning_holds_no_block(unknown_tokens: int, found: int):
    shadow = Shadow()
    shadow.heard(started(4 * PROMPT_TOKENS))
    shadow.asked(matched(0, 0))
    shadow.inserted(inserted(0))
    assert shadow.asked(matched(1, 0, base_rid="forgotten", base_tokens=unknown_tokens))[0] == found


def test_the_shadow_makes_room_for_a_prompt_before_it_is_computed():
    shadow = Shadow()
    shadow.heard(started(2 * PROMPT_TOKENS))
    for number in range(2):
        shadow.asked(matched(number, number))
        shadow.inserted(inserted(number))
    shadow.asked(matched(2, 2))
    assert shadow.asked(matched(3, 0))[0] == 0, "the oldest went for the prompt that is being computed"
    shadow.inserted(inserted(2))
    shadow.inserted(inserted(3))
    assert shadow.asked(matched(4, 2))[0] == PROMPT_TOKENS, "what is computed takes its room once"
    assert shadow.asked(matched(5, 0))[0] == PROMPT_TOKENS


def test_requests_that_were_never_computed_do_not_hold_room_for_ever():
    shadow = Shadow()
    shadow.heard(started(2 * PROMPT_TOKENS))
    for number in range(2 * REMEMBERED):
        shadow.asked(matched(number, number))
    for number in range(1000, 1000 + REMEMBERED):
        shadow.asked(matched(number, 1))
        shadow.inserted(inserted(number))
    assert shadow.asked(matched(2000, 1))[0] == PROMPT_TOKENS
