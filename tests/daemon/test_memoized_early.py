"""The decorator when functions are called before anybody calls them, on threads and in the event loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from brokers import until
from tool_programs import FIND_AND_READ

from radixdeck.daemon.tools.memoized import ToolBox
from radixdeck.policies.events import ToolMemoized


class Program:
    """`find` says what to `read`; both leave a mark. `gate`: what `read` waits for; `raises`: whether it fails."""

    def __init__(self, folder: Path, rules: str = FIND_AND_READ, **tunables: float) -> None:
        path = folder / "rules.toml"
        path.write_text(rules)
        self.facts: list[ToolMemoized] = []
        told = {"trials": 0, "early_least_s": 0, **tunables}
        self.tools = ToolBox(path, agent="coder", tunables=told, emit=self.facts.append)
        self.ran: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.raises = False
        self.changed = threading.Condition()
        self.find = self.tools.memoized()(self._find)
        self.read = self.tools.memoized("read")(self._read)

    def _find(self, word: str) -> list[str]:
        return [f"{word}.1", f"{word}.2"]

    def _read(self, path: str, *more: str, limit: int = 3, **options: str) -> dict[str, Any]:
        with self.changed:
            self.ran.append(path)
            self.changed.notify_all()
        assert self.gate.wait(10)
        if self.raises:
            raise ValueError("secret")
        return {"path": path, "more": list(more), "limit": limit}

    def learn(self) -> None:
        for n in range(8):
            self.find(f"w{n}")
            self.settle()
            self.read(f"w{n}.1", "x")
            self.settle()

    def settle(self) -> None:
        """Until nothing is under way."""
        for _ in range(2000):
            if not self.tools.keeper.policy.memory.under_way:
                return
            self.changed.acquire()
            self.changed.wait(0.005)
            self.changed.release()
        raise AssertionError("it never ends")

    def begins(self, path: str) -> None:
        """Until the tool was called."""
        with self.changed:
            assert self.changed.wait_for(lambda: path in self.ran, 10)

    def told(self, what: str) -> int:
        return sum(fact.what == what for fact in self.facts)


def test_what_will_be_asked_is_there_when_it_is(tmp_path: Path) -> None:
    p = Program(tmp_path)
    p.learn()
    p.find("new")
    p.begins("new.1")
    p.settle()
    before = len(p.ran)
    assert p.read("new.1", "x") == {"path": "new.1", "more": ["x"], "limit": 3}
    assert len(p.ran) == before
    assert p.facts[-1].what == "early_used"
    assert p.ran.count("new.1") == 1


def test_a_call_that_comes_meanwhile_waits_for_it(tmp_path: Path) -> None:
    p = Program(tmp_path)
    p.learn()
    used = p.told("early_used")
    p.gate.clear()
    p.find("new")
    p.begins("new.1")
    got: list[Any] = []
    waits = threading.Thread(target=lambda: got.append(p.read("new.1", "x")))
    waits.start()
    p.gate.set()
    waits.join(10)
    assert got == [{"path": "new.1", "more": ["x"], "limit": 3}]
    assert p.ran.count("new.1") == 1
    assert p.told("early_used") == used + 1
    assert p.told("joined") == 0


def test_what_it_raises_is_nobodys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    p = Program(tmp_path)
    p.learn()
    p.raises = True
    p.find("new")
    p.begins("new.1")
    p.settle()
    p.raises = False
    assert p.read("new.1", "x")["path"] == "new.1"
    assert p.ran.count("new.1") == 2
    assert p.told("early_wasted") == 1
    assert "secret" not in "".join(capsys.readouterr())


def test_undeclared_nothing_is_called(tmp_path: Path) -> None:
    p = Program(tmp_path, FIND_AND_READ.replace("speculate = true", ""))
    p.learn()
    p.find("new")
    p.settle()
    assert "new.1" not in p.ran
    assert p.told("early") == 0


def test_a_thread_that_cannot_be_had_is_a_call_in_vain(tmp_path: Path) -> None:
    p = Program(tmp_path)
    p.learn()
    wasted = p.told("early_wasted")
    usual = threading.stack_size(1 << 62)  # more than there are addresses
    try:
        p.find("new")
    finally:
        threading.stack_size(usual)
    assert "new.1" not in p.ran
    assert p.told("early_wasted") == wasted + 1
    p.settle()
    assert p.read("new.1", "x")["path"] == "new.1"


def test_many_threads_at_once_are_answered_right(tmp_path: Path) -> None:
    p = Program(tmp_path, "serial = false\n" + FIND_AND_READ, early_at_once=8)
    wrong: list[Any] = []

    def agent(number: int) -> None:
        for n in range(60):
            word = f"w{number % 3}-{n}"
            if p.find(word) != [f"{word}.1", f"{word}.2"]:
                wrong.append(word)
            if p.read(f"{word}.1", "x")["path"] != f"{word}.1":
                wrong.append(word)

    threads = [threading.Thread(target=agent, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert wrong == []
    p.settle()
    assert p.told("early") >= p.told("early_used") + p.told("early_wasted")


class Loop:
    """The same with coroutine functions."""

    def __init__(self, tools: ToolBox) -> None:
        self.tools, self.ran = tools, list[str]()
        self.go = asyncio.Event()
        self.go.set()
        self.find, self.read = tools.memoized()(self._find), tools.memoized("read")(self._read)

    async def _find(self, word: str) -> list[str]:
        return [f"{word}.1"]

    async def _read(self, path: str) -> str:
        self.ran.append(path)
        await self.go.wait()
        return f"text of {path}"

    async def learn(self) -> None:
        for n in range(8):
            await self.find(f"w{n}")
            await until(lambda: not self.tools.keeper.policy.memory.under_way, "nothing is under way")
            assert await self.read(f"w{n}.1") == f"text of w{n}.1"


def boxed(folder: Path, **tunables: float) -> tuple[ToolBox, list[ToolMemoized]]:
    path, facts = folder / "rules.toml", list[ToolMemoized]()
    path.write_text(FIND_AND_READ.replace("[tools.find]\n", "[tools._find]\n"))
    return ToolBox(path, tunables={"trials": 0, "early_least_s": 0, **tunables}, emit=facts.append), facts


async def test_coroutines_are_called_early_and_joined(tmp_path: Path) -> None:
    tools, facts = boxed(tmp_path)
    p = Loop(tools)
    await p.learn()
    p.go.clear()
    await p.find("new")
    await until(lambda: p.ran[-1] == "new.1", "it is read early")
    waiting = asyncio.create_task(p.read("new.1"))
    await asyncio.sleep(0.01)
    p.go.set()
    assert await waiting == "text of new.1"
    assert p.ran.count("new.1") == 1
    assert facts[-1].what == "early_used"


def test_a_loop_that_ends_ends_what_nobody_waits_for(tmp_path: Path) -> None:
    """What waits for its turn does not begin there."""
    tools, facts = boxed(tmp_path, early_at_once=1)

    async def run(*, first_step: bool) -> None:
        p = Loop(tools)
        await p.learn()
        p.go.clear()
        await p.find(f"new{first_step}")
        await p.find(f"next{first_step}")
        assert len(tools.keeper.policy.memory.under_way) == 1
        await asyncio.sleep(0.01 * first_step)
        assert f"next{first_step}.1" not in p.ran

    for first_step in (False, True):
        asyncio.run(run(first_step=first_step))
        assert tools.keeper.policy.memory.under_way == {}
        assert facts[-1].what == "early_wasted"
