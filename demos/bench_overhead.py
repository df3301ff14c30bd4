"""What the daemon costs: latency and throughput against SGLang without it, idle CPU, a command's round trip.

The whole daemon (plug-in, events, recording, MQTT, front) is held against SGLang as it comes, an engine of its own with
SGLang's own cache, asked directly: on short cached prompts, where an engine's own time does not hide what is added
(`probe.py`), and on the demo's workload (`rounds.py`), beside what two engines of SGLang's differ by. Of that, the
front's share is measured on one engine, asked directly and through the front in turns. Clients run in a process of
their own. Idle CPU is that of everything:
daemon, broker, and all processes of the engine. A command goes from an MQTT client over the broker to the scheduler's
loop and back. Both engines get the same CPU fill-ins where there is no GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from radixdeck.daemon.config import DaemonConfig
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.loop import run
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of

from .apart import DriveError
from .live import EXPECTED, Live, open_live
from .overhead import Overhead, floors, summarise, text
from .picture import draw_distributions
from .probe import Probe
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save
from .rounds import Rounds, measure
from .stock import open_stock
from .versus import Side

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


async def measured(settings: Settings, progress: Progress) -> Overhead:
    """Boot, measure, stop. Raises LiveError, DriveError or EngineNotReady in words."""
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
        (Path(folder) / "models").symlink_to(home_of(settings.home).models)
        config = DaemonConfig(node="bench", port=0, home=folder, engine=settings.engine("radixdeck"))
        log_to_file(config)
        async with open_live(config, progress) as live:
            whole, short = await _whole(live, settings, progress)
            progress.say(f"the front alone: {2 * settings.pairs} pairs, {settings.blocks} pairs of blocks")
            seen = await _probe(await live.daemon.engine.wait_ready(), live, settings)
            progress.say(f"idle for {settings.idle_s:g} s")
            idle_percent = await idle_cpu_percent(settings.idle_s)
            progress.say(f"commands: {settings.commands}")
            command_s = await command_round_trips(live, settings.commands)
    return summarise(whole, short, seen, idle_percent, command_s)


async def _whole(live: Live, settings: Settings, progress: Progress) -> tuple[Rounds, Probe]:
    """The daemon against SGLang without it, two engines of which run beside it only this long."""
    progress.say("SGLang without the daemon, twice, beside it:")
    spec = settings.engine("sglang")
    async with open_stock(spec, settings.home, progress) as url, open_stock(spec, settings.home, progress) as twin:
        progress.say(f"short prompts: {2 * settings.pairs} pairs, {settings.blocks} pairs of blocks")
        short = await _probe(url, live, settings)
        whole = await measure(
            (url, twin), live, settings.rounds, settings.blocks, settings.requests, settings.concurrency, progress
        )
        return whole, short


async def _probe(direct: str, live: Live, settings: Settings) -> Probe:
    """The engine at `direct` and the daemon's front, in turns."""
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
        "added to a request of the demo, ms": _added(seen.whole),
        "whole answer, ms": {"direct": seen.probe.whole_direct_s, "through the front": seen.probe.whole_front_s},
        "first chunk, ms": {"direct": seen.probe.first_direct_s, "through the front": seen.probe.first_front_s},
        "command round trip, ms": {"command": seen.command_s},
    }
    draw_distributions(path.with_suffix(".png"), "What the daemon adds", curves)
    return path


def _added(whole: Rounds) -> dict[str, list[float]]:
    """What the daemon adds to every request that was alone, and what another engine of SGLang's does, seconds."""
    told = {"the daemon": whole.legs["alone"], "another SGLang": whole.twins}
    return {who: [value for pair in pairs for value in pair.added_s] for who, pairs in told.items() if pairs}


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
        seen = run(measured(settings, progress))
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
