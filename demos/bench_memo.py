"""`python -m radixdeck.demos.bench_memo`: tool calls of agents on a real MCP server, with and without a memory.

The same calls (`memo_trace.py`) five times, each on a fresh server: straight, through the proxy without rules, with two
kinds of rules, and, to see that wrong answers are seen, with rules that deny that anything changes. One of the tools
says the time and is declared read-only all the same. What the server really ran is counted by the server.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import mean, median, quantiles
from typing import TYPE_CHECKING, Any

import msgspec

from .mcp_behind import behind, run_whole, runs_of_tools, said_by_proxy
from .memo_trace import Seen, Shape, Step, steps, wrong_answers
from .picture import draw_repetitions
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save, table

if TYPE_CHECKING:
    from mcp import Client

READS = """
[tools.{}]
read_only = true
ttl_s = 300
scope = "tenant"
invalidated_by = {}
"""
BY_TOOL = "".join(READS.format(tool, ["put"]) for tool in ("get", "search")) + READS.format("clock", [])
BY_KEY = BY_TOOL.replace("[tools.search]", 'per = "key"\n[tools.search]')
DENYING = "strict = false\n" + "".join(READS.format(tool, []) for tool in ("get", "search"))
ARMS: dict[str, str | None] = {
    "no proxy": None, "proxy, no rules": "", "by tool": BY_TOOL, "by key": BY_KEY, "changes denied": DENYING,
}  # fmt: skip
"""Rules by arm; None: straight. By tool: a change takes all that a tool said; by key: what it said of that."""
OFF, CONTROL = "no proxy", "changes denied"
ON = ("by tool", "by key")
UNSHARED_CALLS = 200


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`tool_s`: how long a tool takes; `put` takes twice that."""

    shape: Shape = Shape()
    tool_s: float = 0.02
    seeds: tuple[int, ...] = (101, 102, 103)


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `ran`: calls that the server's tools really ran; `wrong`: answers that cannot have been so; times in
    seconds; `said`: what the proxy told its log."""

    name: str
    seed: int
    calls: int
    ran: int
    wrong: int
    whole_s: float
    mean_s: float
    p50_s: float
    p95_s: float
    said: list[str] = []


async def measured(settings: Settings, progress: Progress) -> list[Arm]:
    """Every arm on every seed, one after the other; which goes first changes from seed to seed."""
    found: list[Arm] = []
    for place, seed in enumerate(settings.seeds):
        names = list(ARMS)
        for name in names[place % len(names) :] + names[: place % len(names)]:
            found.append(await _arm(name, seed, settings))
            progress.say(f"seed {seed}, {name}: {found[-1].ran} of {found[-1].calls} ran, {found[-1].wrong} wrong")
    return found


async def _arm(name: str, seed: int, settings: Settings) -> Arm:
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as told:
        folder = Path(told)
        async with connected(ARMS[name], settings.tool_s, folder) as client:
            begun_s = time.perf_counter()
            by_agent = steps(settings.shape, seed)
            each = await asyncio.gather(*(_agent(client, agent, calls) for agent, calls in by_agent.items()))
            whole_s = time.perf_counter() - begun_s
        seen = sorted((call for calls in each for call in calls), key=lambda call: call.began_s)
        times = [call.took_s for call in seen]
        cuts = quantiles(times, n=20)
        return Arm(
            name=name, seed=seed, calls=len(seen), ran=runs_of_tools(folder),
            wrong=len(wrong_answers(seen)), whole_s=whole_s, mean_s=mean(times), p50_s=cuts[9], p95_s=cuts[18],
            said=said_by_proxy(folder),
        )  # fmt: skip


def connected(rules: str | None, tool_s: float, folder: Path) -> AbstractAsyncContextManager[Client]:
    """A client of a fresh store, straight or behind the proxy with these rules."""
    return behind(rules, folder, "radixdeck.demos.mcp_store", str(tool_s))


async def _agent(client: Client, agent: str, calls: Sequence[Step]) -> list[Seen]:
    """One agent's calls, one after the other."""
    seen: list[Seen] = []
    for step in calls:
        begun_s = time.perf_counter()
        result = await client.call_tool(step.tool, dict(step.arguments), meta={"radixdeck/agent": agent})
        seen.append(Seen(agent, step, begun_s, time.perf_counter(), _answer(result.structured_content)))
    return seen


def _answer(content: Any) -> str | list[str]:
    return content["result"]


async def added_ms(folder: Path) -> dict[str, float]:
    """Median milliseconds of a call of a tool that takes no time, in turns: straight, through the proxy, answered by
    it."""
    async with (
        connected(None, 0.0, _made(folder / "1")) as straight,
        connected(BY_KEY, 0.0, _made(folder / "2")) as proxy,
    ):
        taken: dict[str, list[float]] = {"straight": [], "through": [], "answered": []}
        for number in range(UNSHARED_CALLS):
            for name, client, key in (
                ("straight", straight, f"k{number}"), ("through", proxy, f"k{number}"), ("answered", proxy, "k0"),
            ):  # fmt: skip
                (call,) = await _agent(client, "a", [Step("get", {"key": key})])
                taken[name].append(call.took_s)
    return {name: 1000 * median(times) for name, times in taken.items()}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def verdict(arms: Sequence[Arm]) -> dict[str, bool]:
    """What has to hold whatever the trace: nothing wrong, something saved, and wrong answers seen where there are."""
    return {
        "no wrong answer": sum(arm.wrong for arm in arms if arm.name != CONTROL) == 0,
        "the control has wrong answers": sum(arm.wrong for arm in arms if arm.name == CONTROL) > 0,
        "fewer calls ran": all(arm.ran < _of(arms, OFF, arm.seed).ran for arm in arms if arm.name in ON),
        "the clock was switched off": all(
            any("tool clock off" in line for line in arm.said) for arm in arms if arm.name in ON
        ),
    }


def _of(arms: Sequence[Arm], name: str, seed: int) -> Arm:
    return next(arm for arm in arms if (arm.name, arm.seed) == (name, seed))


def text(arms: Sequence[Arm], added: dict[str, float]) -> str:
    header = ("arm, seed", "calls", "ran", "saved", "mean ms", "p50 ms", "p95 ms", "whole s", "wrong")
    rows = [
        (
            f"{arm.name}, {arm.seed}", str(arm.calls), str(arm.ran), f"{100 * (1 - arm.ran / arm.calls):.1f} %",
            f"{1000 * arm.mean_s:.1f}", f"{1000 * arm.p50_s:.1f}", f"{1000 * arm.p95_s:.1f}", f"{arm.whole_s:.1f}",
            str(arm.wrong),
        )
        for arm in sorted(arms, key=lambda arm: (arm.seed, list(ARMS).index(arm.name)))
    ]  # fmt: skip
    ways = ", ".join(f"{name} {ms:.2f} ms" for name, ms in added.items())
    return f"{table(header, rows)}\n\na call that takes its tool no time, median: {ways}"


def write(settings: Settings, arms: Sequence[Arm], added: dict[str, float], folder: Path) -> Path:
    """Record, history and picture. Returns the record's path."""
    held = verdict(arms)
    record = Record(
        kind="memo", at=now_utc(), machine=machine(), settings=msgspec.to_builtins(settings),
        results={"arms": msgspec.to_builtins(list(arms)), "added_ms": added},
        verdict={**held, "passed": all(held.values())},
    )  # fmt: skip
    path = save(record, folder)
    shown = [name for name in ARMS if name != CONTROL]
    panels = {
        title: {name: [scale * getattr(_of(arms, name, seed), field) for seed in settings.seeds] for name in shown}
        for title, field, scale in (("calls that ran", "ran", 1), ("mean time of a call, ms", "mean_s", 1000))
    }
    labels = [f"seed {seed}" for seed in settings.seeds]
    draw_repetitions(path.with_suffix(".png"), "Tool calls of agents on an MCP server", labels, panels, {})
    return path


async def _run(settings: Settings, progress: Progress) -> tuple[list[Arm], dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
        return await measured(settings, progress), await added_ms(Path(folder))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 all of it holds, 1 not, 2 could not run, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_memo", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(Settings().seeds))
    parser.add_argument("--steps", type=int, default=Shape().steps, help="calls per agent [%(default)s]")
    parser.add_argument("--tool-s", type=float, default=Settings().tool_s, help="what a tool takes [%(default)s]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    told, progress = parser.parse_args(arguments), Progress()
    settings = Settings(shape=Shape(steps=told.steps), tool_s=told.tool_s, seeds=tuple(told.seeds))

    def conclude(found: tuple[list[Arm], dict[str, float]]) -> bool:
        print(text(*found))
        progress.say(f"record: {write(settings, *found, told.out)}")
        return all(verdict(found[0]).values())

    return run_whole(_run(settings, progress), conclude, progress)


if __name__ == "__main__":
    sys.exit(main())
