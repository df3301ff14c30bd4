"""What an agent will most likely be asked next in a session: its own conversation, or the one that all of it share."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import pytest
from front_harness import stack

from radixdeck.daemon.front_errors import FrontError
from radixdeck.daemon.front_paths import PathBook
from radixdeck.policies.events import RequestArrived
from radixdeck.policies.identity.who import Who

CHAT = "/v1/chat/completions"
WHO = {"x-agent-id": "planner"}


class Text(str):
    """A string that can be seen to go."""


def body(system: str, *talk: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, *({"role": "user", "content": text} for text in talk)]
    return {"messages": messages, "max_tokens": 50, **more}


def said(
    book: PathBook, agent: str, session: str, *talk: str, size_bytes: int = 100, salt: str | None = None, **more: Any
) -> None:
    who = Who(agent=agent, session=session, tenant=salt or "default")
    book.note(who, CHAT, body(f"You are {agent}.", *talk, **more), salt, size_bytes)


def likely(book: PathBook, session: str, agent: str) -> tuple[str, list[str]] | None:
    asked = book.likely(session, agent)
    return asked and (asked.head[0]["content"], [message["content"] for message in asked.talk])


def test_private_histories_stay_private() -> None:
    book = PathBook()
    said(book, "a", "s", "one")
    said(book, "b", "s", "two")
    said(book, "a", "s", "one", "three")
    assert likely(book, "s", "a") == ("You are a.", ["one", "three"])
    assert likely(book, "s", "b") == ("You are b.", ["two"])
    assert likely(book, "s", "c") is None
    assert likely(book, "other", "a") is None


def test_a_shared_transcript_is_put_behind_the_head_of_whoever_comes() -> None:
    book = PathBook()
    said(book, "c", "before", "something else")
    said(book, "a", "s", "one")
    said(book, "b", "s", "one", "two")
    assert likely(book, "s", "a") == ("You are a.", ["one", "two"])
    assert likely(book, "s", "c") == ("You are c.", ["one", "two"]), "known from another session"
    assert likely(book, "s", "d") is None
    said(book, "a", "s", "quite another thing")
    assert likely(book, "s", "b") == ("You are b.", ["one", "two"]), "shared no longer"


def test_what_an_agent_found_out_by_tools_is_left_out_unless_others_are_shown_it() -> None:
    book = PathBook()
    said(book, "c", "before", "something else")
    said(book, "a", "s", "task")
    said(book, "a", "s", "task", "a's call", "its result")
    said(book, "a", "s", "task", "a's call", "its result", "second call", "second result")
    said(book, "b", "s", "task", "a's answer")
    assert likely(book, "s", "c") == ("You are c.", ["task", "a's answer"]), "one transcript, in spite of the calls"
    said(book, "b", "s", "task", "a's answer", "b's call", "its result")
    assert likely(book, "s", "c") == ("You are c.", ["task", "a's answer"])
    assert likely(book, "s", "a") == ("You are a.", ["task", "a's answer"])
    said(book, "c", "s", "task", "a's answer", "b's call", "its result", "b's answer")
    said(book, "b", "s", "task", "a's answer", "b's call", "its result", "b's answer", "c's answer")
    said(book, "b", "s", "task", "a's answer", "b's call", "its result", "b's answer", "c's answer", "call", "result")
    assert likely(book, "s", "c") == (
        "You are c.", ["task", "a's answer", "b's call", "its result", "b's answer", "c's answer", "call", "result"],
    ), "what b found out was shown to c before"  # fmt: skip


def test_who_says_something_else_in_the_same_turn_begins_anew() -> None:
    book = PathBook()
    said(book, "a", "s", "task", "first draft")
    said(book, "a", "s", "task", "second draft", "more")
    said(book, "b", "s", "task", "second draft", "more", "answer")
    said(book, "b", "s", "other task")
    assert likely(book, "s", "a") == ("You are a.", ["other task"])


def test_a_shared_transcript_stays_under_the_salt_it_came_with() -> None:
    book = PathBook()
    said(book, "c", "before", "something else", salt="other")
    said(book, "a", "s", "one", salt="acme")
    said(book, "b", "s", "one", "two", salt="acme")
    asked = book.likely("s", "c")
    assert asked is not None
    assert (asked.agent, asked.salt, asked.tenant) == ("c", "acme", "acme")


def test_a_head_that_is_larger_than_its_body_was_said_to_be_leaves_no_room_and_does_no_harm() -> None:
    """JSON may be longer once it was read and written again."""
    book = PathBook(max_bytes=1_000)
    said(book, "a", "s", "one", size_bytes=10, chat_template_kwargs={"x": [1e9] * 100})
    said(book, "b", "s", "one", size_bytes=900)
    book.ended("s")
    said(book, "c", "t", "two", size_bytes=900)
    assert likely(book, "t", "c") == ("You are c.", ["two"])


def test_nothing_is_kept_beyond_the_budget() -> None:
    book = PathBook(max_bytes=250)
    said(book, "a", "s", "one")
    said(book, "b", "s", "one", "two")
    assert likely(book, "s", "a") == ("You are a.", ["one", "two"])
    kept = weakref.WeakValueDictionary[int, Text]()

    def say(number: int) -> None:
        talk = kept[number] = Text("x" * 100)
        said(book, f"agent{number}", f"s{number}", talk)

    for number in range(50):
        say(number)
    gc.collect()
    assert len(kept) == 2
    assert likely(book, "s", "a") is likely(book, "s", "b") is None
    assert likely(book, "s49", "agent0") is None, "its head went with what it was asked"


def test_of_a_session_that_is_over_only_the_heads_are_of_use() -> None:
    book = PathBook(max_bytes=1_000)
    said(book, "c", "before", "something else", size_bytes=900)
    book.ended("before")
    book.ended("before")
    assert likely(book, "before", "c") is None
    said(book, "a", "s", "one", size_bytes=400)
    said(book, "b", "s", "one", "two", size_bytes=400)
    assert likely(book, "s", "c") == ("You are c.", ["one", "two"])


def test_what_is_kept_is_bounded_in_bytes() -> None:
    book = PathBook(max_bytes=250)
    for session in ("s1", "s2", "s2", "s3"):
        said(book, "a", session, "one")
    assert [likely(book, session, "a") is None for session in ("s1", "s2", "s3")] == [True, False, False]
    said(book, "a", "s4", "all too much", size_bytes=1_000)
    assert likely(book, "s4", "a") is None


@pytest.mark.parametrize(
    ("route", "told"),
    [(CHAT, {"messages": None}), (CHAT, {}), (CHAT, {"messages": "hi"}), ("/v1/completions", {"prompt": "hi"})],
)
def test_what_is_no_conversation_is_passed_over(route: str, told: dict[str, Any]) -> None:
    book = PathBook()
    book.note(Who(agent="a", session="s"), route, told, None, 10)
    assert book.likely("s", "a") is None


async def test_a_path_is_warmed_as_the_agent_itself_would_ask() -> None:
    async with stack() as s:
        tools = [{"type": "function", "function": {"name": "look"}}]
        asked = body("You plan.", "first", tools=tools, temperature=0.7)
        await s.post(CHAT, asked, {"x-tenant-id": "acme", "x-session-id": "task", **WHO})
        (session,) = {arrived.session for arrived in s.of(RequestArrived)}
        whole = await s.front.warm("acme/planner", session)
        sent = s.upstream.last
        assert whole == len(sent["input_ids"]) > 0
        assert bytes(sent["input_ids"]).decode() == json.dumps(tools) + "systemYou plan." + "userfirst"
        assert (sent["sampling_params"]["max_new_tokens"], sent["cache_salt"]) == (1, "acme")
        carried = sent["sampling_params"]["custom_params"]["radixdeck"]
        assert (carried["agent"], carried["session"], carried["warm"]) == ("acme/planner", session, True)
        assert await s.front.warm("acme/planner", session, 20) == 20
        assert s.upstream.last["input_ids"] == sent["input_ids"][:20]
        with pytest.raises(FrontError, match=r"'nobody'.*session"):
            await s.front.warm("nobody", session)
        s.front.session_over(session)
        with pytest.raises(FrontError, match=r"is not known"):
            await s.front.warm("acme/planner", session)


def test_nothing_is_remembered_while_nobody_wants_it() -> None:
    wanted = True
    book = PathBook(wanted=lambda: wanted)
    said(book, "a", "s", "one")
    assert likely(book, "s", "a") is not None
    wanted = False
    said(book, "b", "s", "two")
    assert likely(book, "s", "a") is likely(book, "s", "b") is None
