"""What the cache layer costs per operation: choosing victims, score, noting events, learning from them, split and
snapshot, on trees of 1,000 to 1,000,000 nodes and 6 to 1,000 agents, ours against SGLang's Python and Rust tree cores.

Each size is measured by `radixdeck.daemon.engine.bench_cost` in a child process, which needs SGLang. The last line is
the verdict.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from radixdeck.daemon.engine.bench_cost import CHOICE, EVICT, MANY_NODES, OURS, Cost

from .cost_verdict import PYTHON, RUST, Costs, floors, measured_text, verdict_text
from .picture import draw_costs
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save

MODULE = "radixdeck.daemon.engine.bench_cost"


class CostError(RuntimeError):
    """A measurement failed or said something unexpected. The message carries its last words."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds`: how long one measurement may repeat. Trees of fewer nodes than twice the agents are left out, and of
    large trees, which take long to grow, all but those of the fewest and the most agents."""

    sizes: list[int] = msgspec.field(default_factory=lambda: [1_000, 10_000, 100_000, 1_000_000])
    agents: list[int] = msgspec.field(default_factory=lambda: [6, 24, 240, 1_000])
    seconds: float = 1.0

    def command(self, nodes: int) -> list[str]:
        agents = map(str, self.fit(nodes))
        return [sys.executable, "-m", MODULE, str(nodes), *agents, "--seconds", str(self.seconds)]

    def fit(self, nodes: int) -> list[int]:
        """Numbers of agents that a tree of so many nodes is measured with."""
        fitting = [agents for agents in self.agents if 2 * agents <= nodes]
        ends = (min(self.agents), max(self.agents))
        return fitting if nodes < MANY_NODES else [agents for agents in fitting if agents in ends]


QUICK = Settings(sizes=[1_000, 10_000, 100_000], agents=[6, 240], seconds=1.0)


def run(command: Sequence[str], hear: Callable[[Cost], None]) -> list[Cost]:
    """What `command` measures, each told as soon as it is there. Raises CostError, or OSError if it cannot start."""
    environment = {"OMP_NUM_THREADS": "1", "SGLANG_USE_CPU_ENGINE": "1"} | os.environ
    costs: list[Cost] = []
    with (
        tempfile.TemporaryFile("w+", errors="replace") as words,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, text=True, env=environment) as child,
    ):
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if line.startswith("{"):
                    costs.append(_cost(line))
                    hear(costs[-1])
            child.wait()
        except BaseException:
            child.kill()
            raise
        words.seek(0)
        last = (words.read().strip() or "no words").splitlines()[-1]
    if child.returncode != 0:
        raise CostError(f"{MODULE} ended with {child.returncode}: {last}")
    if not costs:
        raise CostError(f"{MODULE} measured nothing")
    return costs


def _cost(line: str) -> Cost:
    try:
        return msgspec.json.decode(line, type=Cost)
    except msgspec.DecodeError as error:
        raise CostError(f"{MODULE} printed {line.strip()!r}, which is no measurement: {error}") from error


def measure(settings: Settings, progress: Progress) -> Costs:
    def hear(cost: Cost) -> None:
        whose = f"{cost.agents:,} agents, {cost.core}" if cost.core == OURS else cost.core
        progress.say(f"  {cost.nodes:,} nodes, {whose}: {cost.what}: {cost.median_us:,.2f} µs ({cost.count} times)")

    found: list[Cost] = []
    for nodes in settings.sizes:
        progress.say(f"trees of {nodes:,} nodes")
        if any(settings.fit(nodes)):
            found += run(settings.command(nodes), hear)
    return Costs(found)


def keep(costs: Costs, settings: Settings, out: Path) -> Path:
    """Write the record and its picture. Raises OSError."""
    judged = floors(costs)
    record = Record(
        kind="cost", at=now_utc(), machine=machine(), settings=msgspec.to_builtins(settings),
        results={"costs": msgspec.to_builtins(costs.all)},
        verdict={"passed": not any(floor.missed for floor in judged),
                 "floors": [msgspec.to_builtins(floor) | {"kept": floor.kept} for floor in judged]},
    )  # fmt: skip
    path = save(record, out)
    sides = {name: (name, 0) for name in (PYTHON, RUST)} | {f"ours, {n:,} agents": (OURS, n) for n in costs.agents}
    panels = {
        what: {name: _curve(costs, what, *side) for name, side in sides.items() if _curve(costs, what, *side)}
        for what in (EVICT, CHOICE)
    }
    draw_costs(path.with_suffix(".png"), "To free 1,000 tokens", panels)
    return path


def _curve(costs: Costs, what: str, core: str, agents: int) -> list[tuple[int, float]]:
    found = (costs.at.get((what, core, nodes, agents)) for nodes in costs.sizes)
    return [(cost.nodes, cost.median_us) for cost in found if cost is not None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 floors kept, 1 one missed, 2 could not run, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_cost", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="up to 100,000 nodes, two numbers of agents, a few minutes"
    )
    parser.add_argument("--sizes", type=int, nargs="+", metavar="NODES", help="nodes of the trees")
    parser.add_argument("--agents", type=int, nargs="+", help="how many agents they belong to")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    asked = parser.parse_args(arguments)
    settings: Settings = QUICK if asked.quick else Settings()
    settings = msgspec.structs.replace(
        settings, sizes=asked.sizes or settings.sizes, agents=asked.agents or settings.agents
    )
    progress = Progress()
    try:
        costs = measure(settings, progress)
        progress.say(f"record: {keep(costs, settings, asked.out)}")
    except (CostError, OSError) as error:
        progress.say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        progress.say("bench: stopped, nothing recorded")
        return 130
    judged = floors(costs)
    print(measured_text(costs) + "\n\n" + verdict_text(judged))
    return 1 if any(floor.missed for floor in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
