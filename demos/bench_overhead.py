"""What the daemon costs: latency and throughput against SGLang without it, idle CPU, a command's round trip.

The whole daemon (plug-in, events, recording, MQTT, front) is held against SGLang as it comes, an engine of its own with
SGLang's own cache, asked directly (`rounds.py`). Of that, the front's share is measured on one engine, asked directly
and through the front in turns (`probe.py`). Clients run in a process of their own. Idle CPU is that of everything:
daemon, broker, and all processes of the engine. A command goes from an MQTT client over the broker to the scheduler's
loop and back. Both engines get the same CPU fill-ins where there is no GPU.
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
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of

from .apart import DriveError
from .live import EXPECTED, Live, open_live
from .measure import percentile
from .picture import draw_distributions
from .probe import Probe
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save, table
from .rounds import Rounds, measure
from .stock import open_stock
from .versus import Side

FLOOR_ADDED_MS = 5.0
FLOOR_LOSS_PERCENT = 5.0
FLOOR_IDLE_PERCENT = 5.0
FLOOR_COMMAND_MS = 250.0
SETTLE_S = 3.0
COMMAND_PAUSE_S = 0.05


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Against SGLang without the daemon: `rounds` of `requests` one at a time, and `blocks` of as many at once, twice.
    Of the front alone: `pairs` one at a time, and `blocks`."""

    rounds: int = 3
    requests: int = 32
    kv_tokens: int = 131_072
    pairs: int = 100
    blocks: int = 8
    concurrency: int = 8
    commands: int = 100
    idle_s: float = 20.0
    home: str = ""

    def engine(self, cache: Side) -> EngineSpec:
        return EngineSpec(kv_tokens=self.kv_tokens, cache=cache)


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """One measure, the median over `repetitions` where it was taken more than once, and what it may be at most."""

    name: str
    value: float
    at_most: float
    repetitions: list[float] = []

    @property
    def kept(self) -> bool:
        return self.value <= self.at_most

    @property
    def spread(self) -> str:
        """Lowest and highest repetition; empty where there are none."""
        return f"{min(self.repetitions):.2f} to {max(self.repetitions):.2f}" if self.repetitions else ""


class Overhead(msgspec.Struct, frozen=True, kw_only=True):
    """`whole`: the daemon against SGLang without it. `front_added_ms`: median of what the front alone adds to a
    request, pair by pair; `front_added_first_ms`: to its first chunk."""

    whole: Rounds
    front_added_ms: float
    front_added_first_ms: float
    front_throughput_loss_percent: float
    idle_percent: float
    command_p50_ms: float
    command_p95_ms: float
    probe: Probe
    command_s: list[float]

    @property
    def passed(self) -> bool:
        return not self.whole.faults() and all(floor.kept for floor in floors(self))


def floors(seen: Overhead) -> list[Floor]:
    """Every measure: the whole daemon's first, then the front's share of it, then the idle ones."""
    many = f"{seen.whole.concurrency} in flight"
    return [
        _repeated("daemon: added latency, median ms", seen.whole.added_ms, FLOOR_ADDED_MS),
        _repeated("daemon: added time to first token, median ms", seen.whole.added_first_ms, FLOOR_ADDED_MS),
        _repeated(f"daemon: throughput lost at {many}, %", seen.whole.loss_percent("fresh"), FLOOR_LOSS_PERCENT),
        _repeated("daemon: throughput lost, prompts cached, %", seen.whole.loss_percent("cached"), FLOOR_LOSS_PERCENT),
        Floor(name="front alone: added latency, median ms", value=seen.front_added_ms, at_most=FLOOR_ADDED_MS),
        Floor(name="front alone: added time to first chunk, median ms", value=seen.front_added_first_ms,
              at_most=FLOOR_ADDED_MS),
        Floor(name=f"front alone: throughput lost at {seen.probe.concurrency} in flight, %",
              value=seen.front_throughput_loss_percent, at_most=FLOOR_LOSS_PERCENT),
        Floor(name="idle CPU of everything, % of a core", value=seen.idle_percent, at_most=FLOOR_IDLE_PERCENT),
        Floor(name="command round trip when idle, p95 ms", value=seen.command_p95_ms, at_most=FLOOR_COMMAND_MS),
    ]  # fmt: skip


def _repeated(name: str, values: list[float], at_most: float) -> Floor:
    return Floor(name=name, value=statistics.median(values), at_most=at_most, repetitions=values)


async def run(settings: Settings, progress: Progress) -> Overhead:
    """Boot, measure, stop. Raises LiveError, DriveError or EngineNotReady in words."""
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
        (Path(folder) / "models").symlink_to(home_of(settings.home).models)
        config = DaemonConfig(node="bench", port=0, home=folder, engine=settings.engine("radixdeck"))
        log_to_file(config)
        async with open_live(config, progress) as live:
            whole = await _whole(live, settings, progress)
            progress.say(f"the front alone: {2 * settings.pairs} pairs, {settings.blocks} pairs of blocks")
            seen = await _probe(live, settings)
            progress.say(f"idle for {settings.idle_s:g} s")
            idle_percent = await idle_cpu_percent(settings.idle_s)
            progress.say(f"commands: {settings.commands}")
            command_s = await command_round_trips(live, settings.commands)
    return summarise(whole, seen, idle_percent, command_s)


async def _whole(live: Live, settings: Settings, progress: Progress) -> Rounds:
    """Rounds between the daemon and SGLang without it, which runs beside it only this long."""
    progress.say("SGLang without the daemon, beside it:")
    async with open_stock(settings.engine("sglang"), settings.home, progress) as url:
        return await measure(
            url, live, settings.rounds, settings.blocks, settings.requests, settings.concurrency, progress
        )


def summarise(whole: Rounds, seen: Probe, idle_percent: float, command_s: list[float]) -> Overhead:
    front, direct = statistics.median(seen.rates_front), statistics.median(seen.rates_direct)
    return Overhead(
        whole=whole,
        front_added_ms=1000 * _median_difference(seen.whole_front_s, seen.whole_direct_s),
        front_added_first_ms=1000 * _median_difference(seen.first_front_s, seen.first_direct_s),
        front_throughput_loss_percent=100 * (1 - front / direct),
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
    rows = [
        [floor.name, f"{floor.value:.2f}", floor.spread, f"{floor.at_most:g}", "yes" if floor.kept else "NO"]
        for floor in floors(seen)
    ]
    notes = ["Against SGLang with its own cache, asked directly; nothing is evicted on either side."]
    faults = [f"doubtful: {fault}" for fault in seen.whole.faults()]
    header = ["", "measured", "over rounds", "at most", "kept"]
    return "\n".join([table(header, rows), "", *notes, *faults, "PASSED" if seen.passed else "MISSED"])


def write(settings: Settings, seen: Overhead, folder: Path) -> Path:
    """Record, history and picture. Returns the record's path."""
    verdict = {
        floor.name: {"value": floor.value, "at_most": floor.at_most, "kept": floor.kept} for floor in floors(seen)
    }
    told = {name: value for name, value in msgspec.to_builtins(settings).items() if name != "home"}
    record = Record(
        kind="overhead", at=now_utc(), machine=machine(), settings=told, results=msgspec.to_builtins(seen),
        verdict=verdict | {"faults": seen.whole.faults(), "passed": seen.passed},
    )  # fmt: skip
    path = save(record, folder)
    curves = {
        "added to a request, ms": _added(seen.whole),
        "whole answer, ms": {"direct": seen.probe.whole_direct_s, "through the front": seen.probe.whole_front_s},
        "first chunk, ms": {"direct": seen.probe.first_direct_s, "through the front": seen.probe.first_front_s},
        "command round trip, ms": {"command": seen.command_s},
    }
    draw_distributions(path.with_suffix(".png"), "What the daemon adds", curves)
    return path


def _added(whole: Rounds) -> dict[str, list[float]]:
    """What the daemon adds to every request that was alone, seconds."""
    alone = whole.legs["alone"]
    return {
        "latency": [value for pair in alone for value in pair.added_s],
        "time to first token": [value for pair in alone for value in pair.added_first_s],
    }


def _positive(text: str) -> int:
    if (value := int(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 floors kept, 1 not, 2 could not run, 130 stopped."""
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_overhead", description=__doc__)
    for name in ("rounds", "requests", "kv-tokens", "pairs", "blocks", "concurrency", "commands"):
        parser.add_argument(f"--{name}", type=_positive, default=getattr(default, name.replace("-", "_")))
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
