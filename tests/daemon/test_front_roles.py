"""One transcript and several agents, each of which sees its own words as its own: is it one, and how does it go on?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixdeck.daemon.front_paths import PathBook
from radixdeck.daemon.front_roles import Messages, Roles
from radixdeck.policies.identity.who import Who

CHAT = "/v1/chat/completions"
TASK = ("", "the task")


def shown(agent: str, *said: tuple[str, str], apart: bool = True) -> Messages:
    """What an agent sees of what was said: (who, words)."""
    return [
        {"role": "assistant" if apart and speaker == agent else "user", "content": f"[{speaker}] {words}"}
        for speaker, words in said
    ]


def asked(book: PathBook, agent: str, *said: tuple[str, str], apart: bool = True) -> None:
    head = {"role": "system", "content": f"You are {agent}."}
    messages = {"messages": [head, *shown(agent, *said, apart=apart)]}
    book.note(Who(agent=agent, session="s"), CHAT, messages, None, 100)


def likely(book: PathBook, agent: str) -> Messages:
    found = book.likely("s", agent)
    assert found is not None
    return found.talk


def test_who_spoke_before_will_be_shown_its_words_as_its_own_once_that_is_known() -> None:
    book = PathBook()
    said = [TASK]
    for speaker in ("a", "b", "a", "b", "c"):
        asked(book, speaker, *said)
        said.append((speaker, f"words {len(said)}"))
    known = said[:-1]  # what c answered is not known yet
    for agent in ("a", "b"):
        assert likely(book, agent) == shown(agent, *known)
    asked(book, "a", *said)
    assert likely(book, "c") == shown("c", *said)


def test_who_called_tools_is_shown_its_words_as_its_own_all_the_same() -> None:
    book = PathBook()
    said = [TASK]
    for speaker in ("a", "b", "a", "b", "c"):
        asked(book, speaker, *said)
        asked(book, speaker, *said, (speaker, "call"), ("", "result"))
        said.append((speaker, f"words {len(said)}"))
    for agent in ("a", "b"):
        assert likely(book, agent) == shown(agent, *said[:-1])


def test_where_everybody_is_shown_the_same_it_stays_the_same() -> None:
    book = PathBook()
    said = [TASK]
    for speaker in ("a", "b", "a", "b"):
        asked(book, speaker, *said, apart=False)
        said.append((speaker, "words"))
    assert likely(book, "a") == shown("a", *said[:-1], apart=False)


def test_a_transcript_of_assistants_only_is_not_turned_around() -> None:
    roles = Roles()
    talk = [{"role": "user", "content": "task"}, {"role": "assistant", "content": "one"}]
    assert roles.go_on("b", talk, "a", talk)
    assert roles.shown_to("c", [], "b", talk) == talk


@pytest.mark.parametrize(
    "other",
    [
        [{"role": "user", "content": "something else"}],
        [{"role": "tool", "content": "task"}],
        [{"role": "system", "content": "task"}],
        [{"role": "assistant", "content": "task", "name": "a"}],
        [{"content": "task"}],
        ["task"],
        [None],
        [],
    ],
)
def test_what_differs_in_more_than_who_speaks_is_another_transcript(other: Any) -> None:
    roles = Roles()
    task: Any = [{"role": "user", "content": "task"}]
    assert not roles.go_on("b", other, "a", task)
    assert roles.shown_to("b", other, "a", task) == task


messages = st.lists(
    st.one_of(
        st.none(),
        st.text(max_size=2),
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool", 7]), "content": st.sampled_from(["x", "y", None])}
        ),
    ),
    max_size=4,
)


@given(talk=messages, said=messages, own=messages)
def test_whatever_is_sent_it_answers_with_as_many_messages(talk: Any, said: Any, own: Any) -> None:
    roles = Roles()
    roles.go_on("b", talk, "a", said)
    assert len(roles.shown_to("b", own, "a", said)) == len(said)
    assert roles.go_on("c", said, "a", said)
