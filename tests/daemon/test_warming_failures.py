"""What callers wrote is put together again to be warmed: whatever that meets with, the daemon goes on."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from front_harness import Stack, stack

from radixdeck.daemon.actions import Actions
from radixdeck.daemon.front_paths import PathBook
from radixdeck.daemon.link import EngineLink
from radixdeck.policies.events import ActionTaken, EngineEvent
from radixdeck.policies.identity.who import Who
from radixdeck.policies.primitives import Action

CHAT = "/v1/chat/completions"


def actions(s: Stack, tmp_path: Path, told: list[EngineEvent]) -> Actions:
    """Carries out what is wanted of a front without an engine's scheduler."""
    return Actions(
        EngineLink(f"ipc://{tmp_path}/link", lambda _seq, _events: None, lambda _hello: None), s.front, told.append
    )


async def test_no_nesting_that_the_front_lets_in_ends_the_daemon_when_it_is_warmed(tmp_path: Path) -> None:
    async with stack() as s:
        told: list[EngineEvent] = []
        warming, taken = actions(s, tmp_path, told), 0
        for depth in range(880, 1_010, 2):
            deep = b"[" * depth + b"]" * depth
            body = b'{"messages":[{"role":"user","content":"x"}],"tools":[{"x":' + deep + b"}]}"
            who = {"Content-Type": "application/json", "x-agent-id": "a", "x-session-id": f"s{depth}"}
            async with s.client.post(s.url + CHAT, data=body, headers=who) as answer:
                if answer.status != 200:
                    break
            ok, detail, _ = await warming.carry_out(Action("warm", "a", session=f"s{depth}"), "speculation")
            assert ok or "could not be rendered" in detail
            taken += 1
        assert taken == len(told) > 10
        assert not all(fact.ok for fact in told if isinstance(fact, ActionTaken)), "some of it was too deep"
        assert not warming.warming


async def test_what_nobody_foresaw_ends_a_warm_up_in_words_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with stack() as s:

        async def broken(*_: object) -> int:
            raise KeyError("unforeseen")

        monkeypatch.setattr(s.front, "warm", broken)
        told: list[EngineEvent] = []
        with caplog.at_level(logging.ERROR, "radixdeck.actions"):
            assert await actions(s, tmp_path, told).carry_out(Action("warm", "a"), "op") == (
                False,
                "internal error: KeyError",
                0,
            )
        assert "unforeseen" in caplog.text
        (taken,) = told
        assert isinstance(taken, ActionTaken)
        assert (taken.ok, taken.result) == (False, "internal error: KeyError")


def test_a_session_ends_however_deep_its_requests_are_nested() -> None:
    book, deep = PathBook(), 0
    for depth in range(900, 1_000):
        nested: list[object] = []
        for _ in range(depth):
            nested = [nested]
        body = {"messages": [{"role": "user", "content": "x"}], "tools": nested}
        try:
            book.note(Who(agent="a", session="s", tenant="default"), CHAT, body, None, 2 * depth)
        except RecursionError:
            break
        book.ended("s")
        deep = depth
    assert deep > 900
