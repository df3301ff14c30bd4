"""`python -m radixdeck.demos.bench_tools_early`: what agents wait for tools, with and without calls made early.

The same agents (`tool_loops.py`) on the same real MCP server behind the real proxy, four at once, each on a fresh pair;
the rules of the two arms differ in one word, `speculate`. One kind of agents does what can be foreseen, the other
nothing of the sort: there, almost nothing may be begun. What the server really ran is counted by the server.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, quantiles, stdev
from typing import Any

import msgspec

from .mcp_behind import behind, run_whole, runs_of_tools, said_by_proxy
from .picture import draw_repetitions
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save, table
from .tool_loops import LOOPS, WANDERING, Agent, Call, wrong_answers

READS = """
[tools.{}]
read_only = true
ttl_s = 300
scope = "tenant"
invalidated_by = ["edit"]
"""
BY_TOOL = "serial = false\n" + "".join(READS.format(tool) for tool in ("list_dir", "search", "blame"))
MEMO = BY_TOOL + READS.format("read_file") + 'per = "path"\n'
EARLY = MEMO.replace("read_only = true", "read_only = true\nspeculate = true")
ARMS = {"memory alone": MEMO, "with early calls": EARLY}
OFF, ON = ARMS
KINDS = {"loops": LOOPS, "wandering": WANDERING}
USED = re.compile(r"(\d+) of (\d+) early calls used")
MOST_BEGUN = 0.02
"""Of what cannot be foreseen, so many calls per call may be begun."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`steps`: calls per agent; `think_s`: mean time between two; `scale`: of what tools take."""

    steps: int = 100
    think_s: float = 0.2
    scale: float = 1.0
    seeds: tuple[int, ...] = (101, 102, 103)


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `ran`: calls that the server's tools really ran; `begun`, `used`: of those made early; `waits`: of each
    call, in seconds."""

    kind: str
    name: str
    seed: int
    ran: int
    begun: int
    used: int
    wrong: int
    waits: list[float]
    said: list[str] = []

    @property
    def mean_s(self) -> float:
        return mean(self.waits)

    @property
    def hidden(self) -> float:
        """The share of calls that came and had been made."""
        return self.used / len(self.waits)


async def measured(settings: Settings, progress: Progress) -> list[Arm]:
    """Every kind and arm on every seed, one after the other; which arm goes first changes from seed to seed."""
    found: list[Arm] = []
    for place, seed in enumerate(settings.seeds):
        for kind in KINDS:
            for name in list(ARMS)[:: 1 if place % 2 == 0 else -1]:
                found.append(one := await _arm(kind, name, seed, settings))
                told = f"{1000 * one.mean_s:.0f} ms, {one.used} of {one.begun} early calls used, {one.wrong} wrong"
                progress.say(f"seed {seed}, {kind}, {name}: {told}")
    return found


async def _arm(kind: str, name: str, seed: int, settings: Settings) -> Arm:
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as told:
        folder = Path(told)
        async with behind(ARMS[name], folder, "radixdeck.demos.mcp_files", str(settings.scale)) as client:

            async def ask(agent: str, tool: str, arguments: dict[str, str]) -> Any:
                result = await client.call_tool(tool, arguments, meta={"radixdeck/agent": agent})
                content: Any = result.structured_content
                return content["result"]

            agents = [
                Agent(f"{task.__name__}-{n}", random.Random(f"{seed}/{n}"), settings.steps, settings.think_s, ask)
                for n, task in enumerate(KINDS[kind])
            ]
            each = await asyncio.gather(
                *(agent.run(task) for agent, task in zip(agents, KINDS[kind], strict=True))
            )  # fmt: skip
        calls: list[Call] = [call for known in each for call in known]
        said = said_by_proxy(folder)
        used, begun = next((map(int, found.groups()) for line in said if (found := USED.search(line))), (0, 0))
        return Arm(
            kind=kind, name=name, seed=seed, ran=runs_of_tools(folder), begun=begun, used=used,
            wrong=len(wrong_answers(calls)), waits=[call.wait_s for call in calls], said=said,
        )  # fmt: skip


def verdict(arms: Sequence[Arm]) -> dict[str, bool]:
    """What has to hold whatever the seed."""
    pairs = [(_of(arms, kind, OFF, seed), _of(arms, kind, ON, seed)) for kind, seed in _runs(arms)]
    loops = [pair for pair in pairs if pair[0].kind == "loops"]
    return {
        "no wrong answer": sum(arm.wrong for arm in arms) == 0,
        "agents in loops wait less": all(on.mean_s < off.mean_s for off, on in loops),
        "most early calls are used": all(2 * on.used > on.begun for _, on in loops),
        "of what cannot be foreseen almost nothing is begun": all(
            on.begun <= MOST_BEGUN * len(on.waits) for off, on in pairs if off.kind != "loops"
        ),
    }


def _runs(arms: Sequence[Arm]) -> list[tuple[str, int]]:
    return sorted({(arm.kind, arm.seed) for arm in arms})


def _of(arms: Sequence[Arm], kind: str, name: str, seed: int) -> Arm:
    return next(arm for arm in arms if (arm.kind, arm.name, arm.seed) == (kind, name, seed))


def text(arms: Sequence[Arm]) -> str:
    """A row per run, and what is saved with its spread over seeds."""
    header = ("agents, arm, seed", "calls", "ran", "begun", "used", "hidden", "mean ms", "p50 ms", "p95 ms", "wrong")
    rows = [_row(_of(arms, kind, name, seed)) for kind, seed in _runs(arms) for name in ARMS]
    lines = [table(header, rows), ""]
    for kind in KINDS:
        told = [(_of(arms, kind, OFF, seed), _of(arms, kind, ON, seed)) for one, seed in _runs(arms) if one == kind]
        changes = [100 * (on.mean_s / off.mean_s - 1) for off, on in told]
        vain = [100 * (on.begun - on.used) / len(on.waits) for _, on in told]
        spread = f" ±{stdev(changes):.1f}" if len(changes) > 1 else ""
        hidden = f"{100 * mean(on.hidden for _, on in told):.1f} % of calls hidden"
        wasted = f"{mean(vain):.1f} in vain per 100 calls"
        lines.append(f"{kind}: mean wait {mean(changes):+.1f} %{spread}, {hidden}, {wasted}")
    return "\n".join(lines)


def _row(arm: Arm) -> tuple[str, ...]:
    cuts = quantiles(arm.waits, n=20)
    return (
        f"{arm.kind}, {arm.name}, {arm.seed}", str(len(arm.waits)), str(arm.ran), str(arm.begun), str(arm.used),
        f"{100 * arm.hidden:.1f} %", f"{1000 * arm.mean_s:.1f}", f"{1000 * cuts[9]:.1f}", f"{1000 * cuts[18]:.1f}",
        str(arm.wrong),
    )  # fmt: skip


def write(settings: Settings, arms: Sequence[Arm], folder: Path) -> Path:
    """Record, history and picture. Returns the record's path."""
    held = verdict(arms)
    told = [
        {**msgspec.to_builtins(arm), "waits": [round(wait_s, 5) for wait_s in arm.waits], "mean_s": arm.mean_s}
        for arm in arms
    ]
    record = Record(
        kind="tools_early", at=now_utc(), machine=machine(), settings=msgspec.to_builtins(settings),
        results={"arms": told}, verdict={**held, "passed": all(held.values())},
    )  # fmt: skip
    path = save(record, folder)
    panels = {
        f"{kind}: mean wait for a call, ms": {
            name: [1000 * _of(arms, kind, name, seed).mean_s for seed in settings.seeds] for name in ARMS
        }
        for kind in KINDS
    }
    labels = [f"seed {seed}" for seed in settings.seeds]
    draw_repetitions(path.with_suffix(".png"), "What agents wait for their tools", labels, panels, {})
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 all of it holds, 1 not, 2 could not run, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_tools_early", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(Settings().seeds))
    parser.add_argument("--steps", type=int, default=Settings().steps, help="calls per agent [%(default)s]")
    parser.add_argument("--think-s", type=float, default=Settings().think_s, help="between two calls [%(default)s]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    told, progress = parser.parse_args(arguments), Progress()
    settings = Settings(steps=told.steps, think_s=told.think_s, seeds=tuple(told.seeds))

    def conclude(arms: list[Arm]) -> bool:
        print(text(arms))
        progress.say(f"record: {write(settings, arms, told.out)}")
        return all(verdict(arms).values())

    return run_whole(measured(settings, progress), conclude, progress)


if __name__ == "__main__":
    sys.exit(main())
