"""The decorator with rules of safety: a function that an agent may not call does not run, asked for or foreseen."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from pathlib import Path

import pytest
from tool_programs import FIND_AND_READ

from radixdeck.daemon.tools import memoized
from radixdeck.daemon.tools.memoized import ToolBox, ToolForbidden
from radixdeck.policies.doorkeeping import RulesError
from radixdeck.policies.events import ToolMemoized
from radixdeck.policies.tools.calls import Ticket, ToolCall


class Program:
    """`find` says what to `read`; both leave a mark."""

    def __init__(self, folder: Path, safety: str = "") -> None:
        self.rules, self.safety = folder / "rules.toml", folder / "safety.toml"
        self.rules.write_text(FIND_AND_READ)
        self.safety.write_text(safety)
        self.facts: list[ToolMemoized] = []
        self.ran: list[str] = []
        self.agent = "coder"
        self.tools = ToolBox(
            self.rules, safety_rules=self.safety, agent=lambda: self.agent, emit=self.facts.append,
            tunables={"trials": 0, "early_least_s": 0},
        )  # fmt: skip
        self.find = self.tools.memoized("find")(self._find)
        self.read = self.tools.memoized("read")(self._read)

    async def _find(self, word: str) -> list[str]:
        await asyncio.sleep(0.001)
        return [f"{word}.1", f"{word}.2"]

    async def _read(self, path: str) -> str:
        self.ran.append(path)
        await asyncio.sleep(0.001)
        return path

    async def learn(self) -> None:
        for n in range(8):
            await self.find(f"w{n}")
            await self.settle()
            await self.read(f"w{n}.1")
            await self.settle()

    async def settle(self) -> None:
        """Until nothing is under way."""
        for _ in range(2000):
            if not self.tools.keeper.policy.memory.under_way:
                return
            await asyncio.sleep(0.002)
        raise AssertionError("it never ends")

    async def looks_again(self) -> None:
        """The files are looked at by the next two calls, however soon they come."""
        for _ in range(2):
            self.tools._looked_s = 0.0
            await self.find("again")
        await self.settle()


async def test_a_function_that_is_not_allowed_does_not_run(tmp_path: Path) -> None:
    p = Program(tmp_path, '[agents.coder]\ntools = ["find"]\n')
    with pytest.raises(ToolForbidden, match="safety: agent 'coder' may not use tool 'read'; allowed: find"):
        await p.read("x")
    assert p.ran == []
    assert await p.find("w") == ["w.1", "w.2"]
    assert [fact.what for fact in p.facts if fact.by == "safety"] == ["forbidden"]
    p.agent = "other"
    assert await p.read("x") == "x"


def test_nor_does_one_that_is_no_coroutine_function(tmp_path: Path) -> None:
    p = Program(tmp_path, "[everybody]\ntools = []\n")

    @p.tools.memoized()
    def add(one: int, other: int) -> int:
        p.ran.append("add")
        return one + other

    with pytest.raises(PermissionError, match="may not use tool 'add'; allowed: none"):
        add(1, 2)
    assert p.ran == []


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("forbidden", [True, False])
async def test_who_waited_for_a_call_that_failed_is_asked_about_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool, forbidden: bool
) -> None:
    p = Program(tmp_path)
    began, joined, fail = threading.Event(), threading.Event(), threading.Event()
    called_off = p.tools.keeper.called_off

    def has_no_way_of_its_own(call: ToolCall, ticket: Ticket) -> None:
        called_off(call, ticket)
        joined.set()

    monkeypatch.setattr(p.tools.keeper, "called_off", has_no_way_of_its_own)

    def told() -> str:
        p.ran.append("ran")
        began.set()
        assert fail.wait(20)
        if len(p.ran) == 1:
            raise RuntimeError("no")
        return "y"

    async def told_later() -> str:
        return await asyncio.to_thread(told)

    box = p.tools.memoized("find")
    call = box(told_later) if waits else functools.partial(asyncio.to_thread, box(told))
    first = asyncio.ensure_future(call())
    assert await asyncio.to_thread(began.wait, 20)
    second = asyncio.ensure_future(call())
    assert await asyncio.to_thread(joined.wait, 20)
    if forbidden:
        p.tools.quarantine("coder")
    fail.set()
    with pytest.raises(RuntimeError):
        await first
    if forbidden:
        with pytest.raises(ToolForbidden, match="agent 'coder' is quarantined by the operator"):
            await second
        assert p.ran == ["ran"]
        assert [fact.what for fact in p.facts if fact.by == "safety"] == ["forbidden"]
    else:
        assert await second == "y"


@pytest.mark.parametrize("how", ["nothing", "rules", "quarantine", "another agent"])
async def test_it_is_not_called_early_either(tmp_path: Path, how: str) -> None:
    p = Program(tmp_path)
    await p.learn()
    p.ran.clear()
    if how == "rules":
        p.safety.write_text('[agents.coder]\ntools = ["find"]\n')
        await p.looks_again()
    elif how == "quarantine":
        p.tools.quarantine("coder")
        with pytest.raises(ToolForbidden, match="agent 'coder' is quarantined by the operator"):
            await p.find("more")
        p.tools.quarantine("coder", on=False)
        began = asyncio.ensure_future(p.find("more"))
        await asyncio.sleep(0)
        p.tools.quarantine("coder")
        await began
        await p.settle()
        assert p.ran == []
        return
    elif how == "another agent":
        p.safety.write_text('[agents.other]\ntools = ["find"]\n')
        await p.looks_again()
    p.ran.clear()
    await p.find("more")
    await p.settle()
    assert p.ran == ([] if how == "rules" else ["more.1"])


async def test_files_that_change_are_read_again_and_garbage_is_not_obeyed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    p = Program(tmp_path, '[agents.coder]\ntools = ["find"]\n')
    await p.find("w")
    p.safety.write_text("[agents.coder]\ntool = []")
    with caplog.at_level(logging.WARNING, memoized.__name__):
        await p.looks_again()
    assert "the former ones hold: line 2: agents.coder.tool" in caplog.text
    with pytest.raises(ToolForbidden):
        await p.read("x")
    p.safety.write_text("")
    await p.looks_again()
    assert await p.read("x") == "x"
    p.rules.write_text("")
    await p.looks_again()
    assert [await p.read("x") for _ in range(2)] == ["x", "x"]
    assert p.ran == ["x", "x", "x"], "no tool is declared any more"


@pytest.mark.parametrize("garbage", ["[agents.coder]\ntool = []", "tools = [", None])
def test_rules_that_cannot_be_used_make_no_box(tmp_path: Path, garbage: str | None) -> None:
    rules, safety = tmp_path / "rules.toml", tmp_path / "safety.toml"
    rules.write_text(FIND_AND_READ)
    if garbage is not None:
        safety.write_text(garbage)
    with pytest.raises(RulesError):
        ToolBox(rules, safety_rules=safety)
