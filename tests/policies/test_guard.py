"""The guard and its shadow of LRU: it gives way where the policy's order loses, not where it wins, and comes back."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from radixdeck.policies.events import (
    CacheFlushed,
    EngineStarted,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    TunableChanged,
)
from radixdeck.policies.guard import DOUBTED, FIRST_REST, TRUSTED, WINDOW, YOUNG, Guard
from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.primitives import Subject
from radixdeck.policies.shadow import BLOCK_TOKENS, MOST_BLOCKS, REMEMBERED, Shadow

MARGIN = 0.01
PROMPT_TOKENS = 8 * BLOCK_TOKENS


def hashes(path: int, begin: int, end: int) -> bytes:
    """Prefix hashes of a path that shares nothing with others."""
    return np.random.default_rng(path).integers(0, 2**32, end, np.uint32)[begin:].tobytes()


def started(capacity_tokens: int) -> EngineStarted:
    return EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=capacity_tokens, page_size=1, policy="x")


def matched(number: int, path: int, cached: int = 0, **more: Any) -> PrefixMatched:
    tail = hashes(path, more.get("base_tokens", 0), more.get("prompt_tokens", PROMPT_TOKENS))
    return PrefixMatched(
        t_ns=number * 10**9, rid=f"r{number}", agent="coder", session=f"s{path}", cached_tokens=cached, tail=tail,
        **{"prompt_tokens": PROMPT_TOKENS, **more})  # fmt: skip


def inserted(number: int, **more: Any) -> PrefixInserted:
    return PrefixInserted(
        t_ns=number * 10**9, rid=f"r{number}", phase="prompt", total_tokens=PROMPT_TOKENS, new_tokens=0, **more
    )


def served(guard: Guard, numbers: range, cached: int, paths: int = 2) -> Guard:
    """Prompts take turns; all of them would be found under LRU, and `cached` tokens of each are."""
    for number in numbers:
        guard.matched(matched(number, number % paths, cached), MARGIN)
        guard.inserted(inserted(number))
    return guard


def new_guard() -> Guard:
    guard = Guard()
    guard.heard(started(4 * PROMPT_TOKENS))
    return guard


def test_it_gives_way_when_lru_would_have_served_more():
    assert served(new_guard(), range(40), cached=0).resting > 0


def test_one_prompt_that_lru_would_have_served_is_no_reason_among_the_first_few_either():
    guard = served(new_guard(), range(3), cached=0)
    assert guard.lead_tokens == PROMPT_TOKENS
    assert guard.resting == 0
    assert served(guard, range(3, 4), cached=0).resting == FIRST_REST


def losing_after(serving: int, names_hold: float = 1.0) -> int:
    """How many prompts that LRU would have found it loses before the guard gives way, once so many were served."""
    guard = served(new_guard(), range(serving), cached=PROMPT_TOKENS)
    guard.names_hold = names_hold
    return next(n for n in range(1, 100) if served(guard, range(serving + n, serving + n + 1), cached=0).resting)


def ups_and_downs() -> Guard:
    """Every second prompt is found by LRU alone, the others were served and would not have been under LRU."""
    guard = new_guard()
    for number in range(60):
        event = matched(number, 0) if number % 2 else matched(number, 10 + number, PROMPT_TOKENS)
        guard.matched(event, MARGIN)
        guard.inserted(inserted(number))
    return guard


def test_a_lead_as_chance_gives_it_is_put_up_with_where_prompts_differ_much():
    guard = served(ups_and_downs(), range(60, 65), cached=0, paths=1)
    assert guard.resting == 0
    assert guard.lead_tokens > 2 * MARGIN * WINDOW * PROMPT_TOKENS
    assert served(guard, range(65, 90), cached=0, paths=1).resting > 0


def test_what_was_chance_for_another_policy_is_none_for_this_one():
    guard = ups_and_downs()
    guard.begin()
    assert served(guard, range(60, 65), cached=0, paths=1).resting > 0


def test_a_policy_that_is_young_and_serves_may_lose_a_little_more():
    assert losing_after(serving=YOUNG // 2) == 6, "two by which it leads, the margin's two, a tenth of what was served"
    assert losing_after(serving=0) == 4, "two that LRU would not have found either, and the margin's two"
    old = served(new_guard(), range(20 * YOUNG), cached=PROMPT_TOKENS)
    served(old, range(20 * YOUNG, 20 * YOUNG + 2), cached=0)
    assert old.resting == FIRST_REST, "what it served long ago is forgotten"


def test_less_is_put_up_with_where_names_do_not_hold():
    assert losing_after(YOUNG // 2, names_hold=TRUSTED) == losing_after(YOUNG // 2)
    assert losing_after(YOUNG // 2, names_hold=DOUBTED) < losing_after(YOUNG // 2)
    assert losing_after(YOUNG // 2, names_hold=0.0) == losing_after(YOUNG // 2, names_hold=DOUBTED)


def test_no_credit_is_left_after_a_rest():
    guard = served(new_guard(), range(YOUNG // 2), cached=PROMPT_TOKENS)
    guard.names_hold = 0.0
    served(guard, range(100, 110), cached=0)
    assert guard.resting
    served(guard, range(200, 200 + FIRST_REST), cached=PROMPT_TOKENS)
    assert served(guard, range(400, 401), cached=0).resting == 2 * FIRST_REST


def test_it_stays_when_as_much_or_more_is_served_or_when_told_to():
    assert served(new_guard(), range(200), cached=PROMPT_TOKENS).resting == 0
    beyond = served(new_guard(), range(200), cached=PROMPT_TOKENS, paths=8)
    assert (beyond.resting, beyond.lead_tokens < 0) == (0, True)
    never = new_guard()
    for number in range(100):
        never.matched(matched(number, number % 2), 1.0)
        never.inserted(inserted(number))
    assert never.resting == 0


def test_it_comes_back_after_a_rest_with_less_patience_and_rests_longer_the_next_time():
    guard = new_guard()
    first = next(number for number in range(400) if served(guard, range(number, number + 1), 0).resting)
    assert guard.resting == FIRST_REST
    served(guard, range(1000, 1000 + FIRST_REST), PROMPT_TOKENS)
    assert guard.resting == 0
    again = next(number for number in range(2000, 2400) if served(guard, range(number, number + 1), 0).resting)
    assert again - 2000 < first
    assert guard.resting == 2 * FIRST_REST


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


def test_the_policy_scores_like_lru_while_the_guard_rests_and_says_so():
    policy = KvCaching()
    policy.tunables.set("guard_margin", MARGIN)
    policy.observe(started(4 * PROMPT_TOKENS))
    for number in range(40):
        policy.observe(matched(number, number % 2))
        policy.observe(inserted(number))
    scores = [policy.score(Subject(role, ("coder",)), 70.0) for role in ("anchor", "private")]
    assert [score.key for score in scores] == [0.0, 0.0]
    assert scores[0].parts["guard_dispatches"] > 0
    assert policy.predict(70.0).guard_dispatches > 0
    policy.observe(PolicySwitched(t_ns=70 * 10**9, policy="kv_caching", enabled=True))
    assert policy.predict(70.0).guard_dispatches == 0, "what another policy lost is not held against this one"
    policy.observe(CacheFlushed(t_ns=10**12))


@pytest.mark.parametrize(("unknown_tokens", "found"), [(BLOCK_TOKENS - 1, PROMPT_TOKENS), (BLOCK_TOKENS, 0)])
def test_a_prompt_is_judged_if_its_unknown_beginning_holds_no_block(unknown_tokens: int, found: int):
    shadow = Shadow()
    shadow.heard(started(4 * PROMPT_TOKENS))
    shadow.asked(matched(0, 0))
    shadow.inserted(inserted(0))
    assert shadow.asked(matched(1, 0, base_rid="forgotten", base_tokens=unknown_tokens))[0] == found


ANCHOR_TOKENS = PROMPT_TOKENS // 2


def suspicion(base_tokens: int = ANCHOR_TOKENS, session: str = "s{}", agent: str = "coder") -> float:
    """Of the guard after twenty prompts that repeat so much of an earlier one; `{}` stands for a prompt's number."""
    policy = KvCaching()
    for number in range(20):
        event = matched(number, number, anchor_tokens=ANCHOR_TOKENS, base_rid="r0", base_tokens=base_tokens)
        named = msgspec.structs.replace(event, session=session.format(number), agent=agent.format(number))
        policy.observe(named)
    return 1.0 - policy._guard.names_hold  # pyright: ignore[reportPrivateUsage]


def test_names_are_believed_where_what_they_promise_comes_true():
    assert suspicion() < 0.1, "new sessions begin with the anchor"
    assert suspicion(PROMPT_TOKENS, session="s") < 0.1, "one session goes on"
    assert suspicion(40, agent="a{}") < 0.1, "new agents of one template"


def test_names_are_not_believed_where_prompts_belie_them():
    assert suspicion(PROMPT_TOKENS) > 0.8, "new sessions go on"
    assert suspicion(40) > 0.8, "one agent has many anchors"
    assert suspicion(session="s") > 0.8, "one session is many"
    assert suspicion(PROMPT_TOKENS - 24, agent="a{}") > 0.8, "new agents go on"


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


def test_it_is_forgiven_while_the_policy_leads():
    guard = served(new_guard(), range(10), cached=0)
    assert guard.resting
    served(guard, range(1000, 1000 + 6 * FIRST_REST), PROMPT_TOKENS, paths=8)
    while not guard.resting:
        served(guard, range(2000, 2001), cached=0, paths=1)
    assert guard.resting == FIRST_REST


def test_what_was_chance_before_a_rest_is_none_after_it():
    guard = served(ups_and_downs(), range(60, 90), cached=0, paths=1)
    assert guard.resting
    served(guard, range(90, 90 + guard.resting), cached=PROMPT_TOKENS, paths=1)
    assert served(guard, range(400, 402), cached=0, paths=1).resting > 0


@pytest.mark.parametrize(("trims", "found_blocks"), [(1.0, 4), (0.0, 0)])
def test_lru_is_held_against_the_policy_with_the_same_victims_pages_or_whole_leaves(trims: float, found_blocks: int):
    """A cache of twelve blocks holds a prompt of eight; four of them make room for the next one, or all."""
    policy = KvCaching()
    policy.observe(started(12 * BLOCK_TOKENS))
    policy.tunables.set("trim_victims", trims)
    policy.observe(TunableChanged(t_ns=0, policy="kv_caching", name="trim_victims", value=trims))
    for number in range(2):
        policy.observe(matched(number, number))
        policy.observe(inserted(number))
    shadow = policy._guard.shadow  # pyright: ignore[reportPrivateUsage]
    assert shadow.asked(matched(2, 0))[0] == found_blocks * BLOCK_TOKENS
