"""What the daemon costs: latency and throughput against the same engine without it, idle CPU, a command's round trip.

One engine, asked directly and through the front in alternation, by a client in a process of its own. Idle CPU is that
of everything: daemon, broker, and all processes of the engine. A command goes from an MQTT client over the broker to
the scheduler's loop and back.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from radixdeck.daemon.config import DaemonConfig
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of

from .apart import DriveError
from .live import EXPECTED, Live, open_live
from .measure import percentile
from .picture import draw_distributions
from .probe import Probe
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save, table

FLOOR_ADDED_MS = 5.0
FLOOR_THROUGHPUT_LOSS_PERCENT = 5.0
FLOOR_IDLE_PERCENT = 5.0
FLOOR_COMMAND_MS = 250.0
SETTLE_S = 3.0
COMMAND_PAUSE_S = 0.05


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    pairs: int = 100
    blocks: int = 8
    concurrency: int = 8
    commands: int = 100
    idle_s: float = 20.0
    home: str = ""


class Overhead(msgspec.Struct, frozen=True, kw_only=True):
    """`added_ms`: median of what the front adds to a request, pair by pair; `added_first_ms`: to its first chunk."""

    added_ms: float
    added_first_ms: float
    throughput_loss_percent: float
    idle_percent: float
    command_p50_ms: float
    command_p95_ms: float
    probe: Probe
    command_s: list[float]

    @property
    def passed(self) -> bool:
        return all(within for _, _, _, within in floors(self))


def floors(seen: Overhead) -> list[tuple[str, float, float, bool]]:
    """Each measure with its floor and whether it is kept."""
    pairs = (
        ("added latency, median ms", seen.added_ms, FLOOR_ADDED_MS),
        ("added time to first chunk, median ms", seen.added_first_ms, FLOOR_ADDED_MS),
        (f"throughput lost at {seen.probe.concurrency} in flight, %", seen.throughput_loss_percent,
         FLOOR_THROUGHPUT_LOSS_PERCENT),
        ("idle CPU of everything, % of a core", seen.idle_percent, FLOOR_IDLE_PERCENT),
        ("command round trip when idle, p95 ms", seen.command_p95_ms, FLOOR_COMMAND_MS),
    )  # fmt: skip
    return [(name, value, floor, value <= floor) for name, value, floor in pairs]


async def run(settings: Settings, progress: Progress) -> Overhead:
    """Boot, measure, stop. Raises LiveError, DriveError or EngineNotReady in words."""
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
        (Path(folder) / "models").symlink_to(home_of(settings.home).models)
        config = DaemonConfig(node="bench", port=0, home=folder)
        log_to_file(config)
        async with open_live(config, progress) as live:
            progress.say(f"  requests: {2 * settings.pairs} pairs, {settings.blocks} pairs of blocks")
            seen = await _probe(live, settings)
            progress.say(f"  idle for {settings.idle_s:g} s")
            idle_percent = await idle_cpu_percent(settings.idle_s)
            progress.say(f"  commands: {settings.commands}")
            command_s = await command_round_trips(live, settings.commands)
    return summarise(seen, idle_percent, command_s)


def summarise(seen: Probe, idle_percent: float, command_s: list[float]) -> Overhead:
    return Overhead(
        added_ms=1000 * _median_difference(seen.whole_front_s, seen.whole_direct_s),
        added_first_ms=1000 * _median_difference(seen.first_front_s, seen.first_direct_s),
        throughput_loss_percent=100 * (1 - statistics.median(seen.rates_front) / statistics.median(seen.rates_direct)),
        idle_percent=idle_percent,
        command_p50_ms=1000 * percentile(command_s, 50),
        command_p95_ms=1000 * percentile(command_s, 95),
        probe=seen,
        command_s=command_s,
    )


def _median_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a - b for a, b in zip(ours, theirs, strict=True))


async def _probe(live: Live, settings: Settings) -> Probe:
    direct = await live.daemon.engine.wait_ready()
    command = (
        sys.executable, "-m", "radixdeck.demos.probe", "--direct", f"{direct}/v1", "--front", live.base_url,
        "--pairs", str(settings.pairs), "--blocks", str(settings.blocks), "--concurrency", str(settings.concurrency),
    )  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        told, words = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise DriveError(f"probe: {words.decode(errors='replace').strip()}")
    return msgspec.json.decode(told, type=Probe)


async def idle_cpu_percent(period_s: float) -> float:
    """CPU of this process and all its children over a quiet period, percent of one core."""
    await asyncio.sleep(SETTLE_S)
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    begun_s, before_s = time.monotonic(), _cpu_s(family)
    await asyncio.sleep(period_s)
    return 100 * (_cpu_s(family) - before_s) / (time.monotonic() - begun_s)


def _cpu_s(family: Sequence[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in family))


async def command_round_trips(live: Live, count: int) -> list[float]:
    """Seconds from publishing a command to its reply, with nothing else going on."""
    seen: list[float] = []
    for number in range(count):
        await asyncio.sleep(COMMAND_PAUSE_S)
        begun_s = time.perf_counter()
        await live.order(
            "boost", {"agent": "probe", "amount": number % 2 + 1, "ttl_s": 1.0}, "measuring the round trip"
        )
        seen.append(time.perf_counter() - begun_s)
    return seen


def text(seen: Overhead) -> str:
    rows = [[name, f"{value:.2f}", f"{floor:g}", "yes" if kept else "NO"] for name, value, floor, kept in floors(seen)]
    return table(["", "measured", "at most", "kept"], rows) + "\n" + ("PASSED" if seen.passed else "MISSED")


def write(settings: Settings, seen: Overhead, folder: Path) -> Path:
    """Record, history and picture. Returns the record's path."""
    verdict = {name: {"value": value, "at_most": floor, "kept": kept} for name, value, floor, kept in floors(seen)}
    told = {name: value for name, value in msgspec.to_builtins(settings).items() if name != "home"}
    record = Record(
        kind="overhead", at=now_utc(), machine=machine(), settings=told, results=msgspec.to_builtins(seen),
        verdict=verdict | {"passed": seen.passed},
    )  # fmt: skip
    path = save(record, folder)
    curves = {
        "whole answer, ms": {"direct": seen.probe.whole_direct_s, "through the daemon": seen.probe.whole_front_s},
        "first chunk, ms": {"direct": seen.probe.first_direct_s, "through the daemon": seen.probe.first_front_s},
        "command round trip, ms": {"command": seen.command_s},
    }
    draw_distributions(path.with_suffix(".png"), "What the daemon adds", curves)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 floors kept, 1 not, 2 could not run, 130 stopped."""
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_overhead", description=__doc__)
    for name in ("pairs", "blocks", "concurrency", "commands"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument("--idle-s", type=float, default=default.idle_s)
    parser.add_argument("--home", default="", help="folder of models [the user's]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    told = vars(parser.parse_args(arguments))
    out = told.pop("out")
    settings, progress = Settings(**told), Progress()
    try:
        seen = asyncio.run(run(settings, progress))
    except EXPECTED as error:
        progress.say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        progress.say("bench: stopped, nothing recorded")
        return 130
    progress.say(f"record: {write(settings, seen, out)}")
    print(text(seen))
    return 0 if seen.passed else 1


if __name__ == "__main__":
    sys.exit(main())
