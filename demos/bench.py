"""SGLang's own cache against ours, on the real engine: same model, same requests, same KV memory, same machine.

Every measurement boots a fresh engine, so each begins with an empty cache and with a policy that has learned nothing,
and only one engine is alive at a time. The order of the two alternates. SGLang is driven directly, ours through the
daemon's front with everything on (events, recording, MQTT). Both get the same CPU fill-ins where there is no GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of

from .apart import Drive, drive_apart
from .drive import Plan
from .live import EXPECTED, open_live
from .measure import Bound, Summary, summarise
from .picture import draw_repetitions
from .progress import Counting, Progress
from .report import RESULTS, Record, machine, now_utc, save
from .sources import describe, load
from .stock import open_stock
from .versus import Repetition, Side, Verdict, judge, text
from .workloads import DEMO_KV_TOKENS, REPORT_SEEDS, Style, Topology, WorkloadSpec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared. One repetition per seed; with `logs`, on the same requests each time."""

    seeds: tuple[int, ...] = REPORT_SEEDS
    workload: WorkloadSpec = WorkloadSpec()
    logs: Path | None = None
    kv_tokens: int = DEMO_KV_TOKENS
    policy: str = "kv_caching"
    concurrency: int = 1
    model: str = ""
    home: str = ""

    def engine(self, cache: Side) -> EngineSpec:
        return EngineSpec(model=self.model, kv_tokens=self.kv_tokens, cache=cache)

    def plan(self, seed: int, complain: Callable[[str], None]) -> Plan:
        """The requests of one repetition. Raises WorkloadError."""
        turns = load(msgspec.structs.replace(self.workload, seed=seed), self.logs, complain)
        return Plan(turns=turns, concurrency=self.concurrency)


async def run(settings: Settings, progress: Progress) -> list[Repetition]:
    """All repetitions. Raises LiveError, DriveError or EngineNotReady in words."""
    done: list[Repetition] = []
    for number, seed in enumerate(settings.seeds):
        order: tuple[Side, Side] = ("sglang", "radixdeck") if number % 2 == 0 else ("radixdeck", "sglang")
        progress.say(f"repetition {number + 1} of {len(settings.seeds)}, seed {seed}, {order[0]} first")
        plan = settings.plan(seed, progress.say)
        summaries: dict[Side, Summary] = {}
        bound = Bound(0.0, 0)
        for side in order:
            if side == "sglang":
                drive = await _sglang(settings, plan, progress)
            else:
                drive, bound = await _radixdeck(settings, plan, progress)
            summaries[side] = summarise(drive)
        done.append(Repetition(seed=seed, first=order[0], bound=bound, **summaries))
    return done


async def _sglang(settings: Settings, plan: Plan, progress: Progress) -> Drive:
    async with open_stock(settings.engine("sglang"), settings.home, progress) as url:
        return await drive_apart(plan, f"{url}/v1", Counting(progress, "sglang", len(plan.turns)))


async def _radixdeck(settings: Settings, plan: Plan, progress: Progress) -> tuple[Drive, Bound]:
    """Our daemon around the same engine; recordings of a benchmark go to a folder of their own and are not kept."""
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
        (Path(folder) / "models").symlink_to(home_of(settings.home).models)
        config = DaemonConfig(
            node="bench", port=0, home=folder, engine=settings.engine("radixdeck"),
            policy=PolicySection(enabled=[settings.policy]),
        )  # fmt: skip
        log_to_file(config)
        async with open_live(config, progress) as live:
            counting = Counting(progress, f"radixdeck ({settings.policy})", len(plan.turns))
            drive = await drive_apart(plan, live.base_url, counting)
            return drive, await live.bound(drive.outcomes)


def write(settings: Settings, repetitions: Sequence[Repetition], verdict: Verdict, folder: Path) -> Path:
    """Record, history and picture. Returns the record's path."""
    results: dict[str, Any] = {"repetitions": msgspec.to_builtins(list(repetitions))}
    told: dict[str, Any] = {
        "seeds": settings.seeds, "workload": describe(settings.workload, settings.logs), "policy": settings.policy,
        "kv_tokens": settings.kv_tokens, "concurrency": settings.concurrency, "model": Path(settings.model).name,
    }  # fmt: skip
    told["workload"].pop("seed", None)
    record = Record(
        kind="bench", at=now_utc(), machine=machine(), settings=told, results=results,
        verdict=msgspec.to_builtins(verdict),
    )  # fmt: skip
    path = save(record, folder)
    sides: dict[str, list[Summary]] = {
        "SGLang's own cache": [r.sglang for r in repetitions],
        f"radixdeck, {settings.policy}": [r.radixdeck for r in repetitions],
    }
    panels = {
        "hit rate, %": {name: [100 * s.hit_rate for s in side] for name, side in sides.items()},
        "mean time to first token, ms": {name: [1000 * s.ttft_mean_s for s in side] for name, side in sides.items()},
        "requests per second": {name: [s.requests_per_s for s in side] for name, side in sides.items()},
    }
    spec = settings.workload
    source = settings.logs.name if settings.logs else f"{spec.topology}, {spec.agents} agents"
    title = f"{source}, KV cache {settings.kv_tokens:,} tokens"
    bounds = {"hit rate, %": [100 * r.bound.hit_rate for r in repetitions]}
    draw_repetitions(path.with_suffix(".png"), title, [f"seed {r.seed}" for r in repetitions], panels, bounds)
    return path


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Path]:
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(default.seeds), help="one repetition each")
    parser.add_argument("--requests", type=int, default=default.workload.requests)
    parser.add_argument("--topology", choices=get_args(Topology), default=default.workload.topology)
    parser.add_argument("--style", choices=get_args(Style), default=default.workload.style)
    parser.add_argument("--agents", type=int, default=default.workload.agents)
    parser.add_argument("--sessions", type=int, default=default.workload.sessions)
    parser.add_argument("--logs", type=Path, help="Who&When file or folder, or a Mooncake *.jsonl, instead")
    parser.add_argument("--kv-tokens", type=int, default=default.kv_tokens)
    parser.add_argument("--policy", default=default.policy)
    parser.add_argument("--concurrency", type=int, default=default.concurrency)
    parser.add_argument("--model", default="", help="model id or path; none: the small one made on the spot")
    parser.add_argument("--home", default="", help="folder of logs and models [the user's]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    told = vars(parser.parse_args(arguments))
    shape = {name: told.pop(name) for name in ("requests", "topology", "style", "agents", "sessions")}
    out = told.pop("out")
    seeds = tuple(told.pop("seeds"))
    return Settings(seeds=seeds, workload=msgspec.structs.replace(default.workload, **shape), **told), out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 floors reached, 1 missed, 2 could not run, 130 stopped."""
    settings, out = parse(arguments)
    progress = Progress()
    try:
        repetitions = asyncio.run(run(settings, progress))
    except EXPECTED as error:
        progress.say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        progress.say("bench: stopped, nothing recorded")
        return 130
    verdict = judge(repetitions)
    path = write(settings, repetitions, verdict, out)
    progress.say(f"record: {path}")
    print(text(repetitions, verdict))
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
