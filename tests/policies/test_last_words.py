"""Which texts end in a word that says that a task is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixdeck.policies.events import AnswerGiven, decode, encode
from radixdeck.policies.identity.last_words import CLOSING_WORDS, closes, why_unusable

WORD = CLOSING_WORDS[0]
SIGNS = st.text(st.characters(exclude_categories=["L", "N"]), max_size=20)


@pytest.mark.parametrize(
    "text",
    ["TERMINATE", "Done. TERMINATE\n", "**TERMINATE**", "TERMINATE.", '"TERMINATE"', "`TERMINATE`.\n\n", "_TERMINATE_",
     "__TERMINATE__", "so:TERMINATE", "TERMINATE TERMINATE", "TERMINATE ✅", "```\nTERMINATE\n```"],
)  # fmt: skip
def test_it_may_be_set_off_and_followed_by_signs(text: str) -> None:
    assert closes(text, CLOSING_WORDS)


@pytest.mark.parametrize(
    "text",
    ["", "DETERMINATE", "TERMINATED", "TERMINATE now", "TERMINATE 1", "terminate", "TERMINAT", "AUTO_TERMINATE",
     "2TERMINATE", "éTERMINATE", "TERMINATE_X", "TERMINATE DETERMINATE"],
)  # fmt: skip
def test_it_is_the_last_word_and_a_whole_one(text: str) -> None:
    assert not closes(text, CLOSING_WORDS)


def test_each_word_counts_and_none_is_none() -> None:
    words = ["TASK COMPLETE", "[DONE]", "任务完成", ""]
    assert all(closes(f"so {word}.", words) for word in words[:3])
    assert closes("all[DONE]", words), "a word that begins with a sign stands apart by itself"
    assert closes("所以任务完成。", words), "where no spaces are set a word may begin anywhere"
    assert not closes("MULTITASK COMPLETE", words)
    assert not closes("TERMINATE", words)
    assert not closes("TERMINATE", [])


@given(st.text(max_size=40), SIGNS)
def test_what_comes_before_it_and_after_it_does_not_matter(before: str, after: str) -> None:
    assert closes(f"{before} {WORD}{after}", CLOSING_WORDS)
    assert not closes(f"{before} {WORD}{after}x", CLOSING_WORDS)
    assert not closes(f"{before}x{WORD}{after}", CLOSING_WORDS)


@given(st.text(max_size=60), st.lists(st.text(max_size=5), max_size=4))
def test_a_text_that_closes_holds_one_of_the_words(text: str, words: list[str]) -> None:
    if closes(text, words):
        assert any(word and word in text for word in words)


@given(st.lists(st.text(max_size=40), max_size=20))
def test_words_that_may_be_looked_for_are_found(words: list[str]) -> None:
    if not why_unusable(words):
        assert all(closes(f"so {word}", words) for word in words)


def test_an_answer_of_an_older_recording_does_not_close() -> None:
    old = decode(b'{"k":"answer_given","t_ns":1,"rid":"r","agent":"a","session":"s","finish":"stop"}')
    assert isinstance(old, AnswerGiven)
    assert not old.closes
    closing = AnswerGiven(t_ns=1, rid="r", agent="a", session="s", closes=True)
    assert decode(encode(closing)) == closing
