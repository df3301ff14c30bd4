"""The judge of what was read, the benchmark's record, and the whole once, small and fast, over real pipes."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

from radixdeck.demos.bench_tools_early import ARMS, KINDS, OFF, Arm, Settings, main, measured, text, verdict, write
from radixdeck.demos.mcp_behind import run_whole
from radixdeck.demos.progress import Progress
from radixdeck.demos.tool_loops import Agent, Call, wanders, wrong_answers


def call(tool: str, began_s: float, ended_s: float, answer: str = "", about: str = "a.py") -> Call:
    return Call(agent="a", tool=tool, about=about, began_s=began_s, ended_s=ended_s, answer=answer)


@pytest.mark.parametrize(
    ("edits", "began_s", "ended_s", "right"),
    [
        (0, 0, 0.5, True),
        (1, 0, 0.5, False),
        (0, 0.5, 1.5, True),
        (1, 0.5, 1.5, True),
        (0, 3, 4, False),
        (1, 3, 4, True),
    ],
)
def test_a_file_was_read_as_it_can_have_been(edits: int, began_s: float, ended_s: float, right: bool) -> None:
    known = [call("edit", 1, 2), call("edit", 0, 9, about="another.py")]
    read = call("read_file", began_s, ended_s, f"{edits} edits of a.py")
    assert (wrong_answers([*known, read]) == []) == right


def test_a_seed_says_what_is_called() -> None:
    async def ask(*_: Any) -> list[str]:
        return []

    def calls(seed: int) -> list[tuple[str, str]]:
        agent = Agent("a", random.Random(seed), 30, 0.0, ask)
        return [(one.tool, one.about) for one in asyncio.run(agent.run(wanders))]

    assert calls(1) == calls(1) != calls(2)
    assert len(calls(1)) == 30


def arm(kind: str, name: str, **more: Any) -> Arm:
    begun = 10 if kind == "loops" and name != OFF else 0
    told: dict[str, Any] = {"seed": 1, "ran": 20, "begun": begun, "used": begun, "wrong": 0}
    told["waits"] = [0.1 if begun else 0.2] * 20
    return Arm(kind=kind, name=name, **{**told, **more})


def test_the_verdict_and_the_record(tmp_path: Path) -> None:
    arms = [arm(kind, name) for kind in KINDS for name in ARMS]
    assert all(verdict(arms).values())
    off, on, off_wandering, on_wandering = arms
    assert not verdict([off, arm("loops", on.name, wrong=1), off_wandering, on_wandering])["no wrong answer"]
    slow = arm("loops", on.name, waits=[0.3] * 20)
    assert not verdict([off, slow, off_wandering, on_wandering])["agents in loops wait less"]
    vain = arm("loops", on.name, used=5)
    assert not verdict([off, vain, off_wandering, on_wandering])["most early calls are used"]
    begun = arm("wandering", on.name, begun=1)
    assert not verdict([off, on, off_wandering, begun])["of what cannot be foreseen almost nothing is begun"]
    path = write(Settings(seeds=(1,)), arms, tmp_path)
    assert json.loads(path.read_bytes())["verdict"]["passed"]
    assert path.with_suffix(".png").is_file()
    assert "loops: mean wait -50.0 %, 50.0 % of calls hidden, 0.0 in vain per 100 calls" in text(arms)


def test_the_whole_on_a_few_calls() -> None:
    told = asyncio.run(measured(Settings(steps=12, think_s=0.01, scale=0.05, seeds=(11,)), Progress()))
    assert [(one.kind, one.name) for one in told] == [(kind, name) for kind in KINDS for name in ARMS]
    assert [(len(one.waits), one.wrong) for one in told] == [(48, 0)] * 4
    assert all(0 < one.ran <= 48 + one.begun for one in told)


@pytest.mark.parametrize(
    ("ends", "code"), [(True, 0), (False, 1), (ModuleNotFoundError("no", name="mcp"), 2), (KeyboardInterrupt(), 130)]
)
def test_how_it_ends(ends: bool | BaseException, code: int) -> None:
    concluded = list[bool]()

    async def work() -> bool:
        if isinstance(ends, BaseException):
            raise ends
        return ends

    def conclude(found: bool) -> bool:
        concluded.append(found)
        return found

    assert run_whole(work(), conclude, Progress()) == code
    assert concluded == ([ends] if isinstance(ends, bool) else [])


def test_no_seeds_are_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--seeds"])
