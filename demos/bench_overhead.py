"""What the daemon costs: latency and throughput against SGLang without it, idle CPU, a command's round trip.

The whole daemon (plug-in, events, recording, MQTT, front) is held against SGLang as it comes, an engine of its own with
SGLang's own cache, asked directly: latency on short cached prompts, where an engine's own time does not hide what is
added (`probe.py`), and throughput in blocks (`rounds.py`); over several sets of engines, beside what two engines of
SGLang's differ by. Of that, the front's share is measured on one engine, asked directly and through the front in turns.
Clients run in a process of their own. Idle CPU is that of everything: daemon, broker, and all processes of the engine.
A command goes from an MQTT client over the broker to the scheduler's loop and back. All engines get the same CPU
fill-ins where there is no GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil

from radixdeck.daemon.config import DaemonConfig
from radixdeck.daemon.engine.args import EngineSpec, Size
from radixdeck.daemon.loop import run
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of

from .live import EXPECTED, Live, open_live
from .overhead import Overhead, added_first_ms, added_ms, floors, lost_percent, text
from .picture import draw_distributions
from .probe import probe_apart
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save
from .rounds import Against, Amount, Boot, measure
from .stock import open_stock, parse_for_servers
from .versus import Side

SETTLE_S = 3.0
COMMAND_PAUSE_S = 0.05


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`boots` sets of engines, each measured as `rounds.Amount` says; of the front alone, as many short requests."""

    boots: int = 3
    requests: int = 32
    kv_tokens: int = 131_072
    pairs: int = 60
    blocks: int = 3
    concurrency: int = 8
    commands: int = 100
    idle_s: float = 20.0
    size: Size = "demo"
    sglang_args: tuple[str, ...] = ()
    home: str = ""

    def engine(self, cache: Side) -> EngineSpec:
        return EngineSpec(size=self.size, sglang_args=self.sglang_args, kv_tokens=self.kv_tokens, cache=cache)

    @property
    def amount(self) -> Amount:
        return Amount(
            pairs=self.pairs, blocks=self.blocks, requests=self.requests, concurrency=self.concurrency
        )  # fmt: skip


class Bench:
    """Collects what was measured, boot by boot."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._settings, self._progress = settings, progress
        self._boots: list[Boot] = []

    async def run(self) -> Overhead:
        """Boot, measure, stop. Raises LiveError, DriveError or EngineNotReady in words."""
        sets = self._settings.boots
        for number in range(1, sets):
            async with self._live(number) as live:
                await self._boot(live)
        async with self._live(sets) as live:
            await self._boot(live)
            return await self._last(live)

    @asynccontextmanager
    async def _live(self, number: int) -> AsyncGenerator[Live]:
        self._progress.say(f"engines, set {number} of {self._settings.boots}")
        with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
            (Path(folder) / "models").symlink_to(home_of(self._settings.home).models)
            engine = self._settings.engine("radixdeck")
            config = DaemonConfig(node="bench", port=0, home=folder, engine=engine)
            log_to_file(config)
            async with open_live(config, self._progress) as live:
                yield live

    async def _boot(self, live: Live) -> None:
        """The daemon against SGLang without it, two engines of which run beside it only this long."""
        self._progress.say("SGLang without the daemon, twice, beside it:")
        spec, home = self._settings.engine("sglang"), self._settings.home
        async with open_stock(spec, home, self._progress) as url, open_stock(spec, home, self._progress) as twin:
            self._boots.append(await measure((url, twin), live, self._settings.amount, self._progress))

    async def _last(self, live: Live) -> Overhead:
        """What needs no other engine."""
        settings, say = self._settings, self._progress.say
        say(f"the front alone: {2 * settings.pairs} pairs, {settings.blocks} pairs of blocks")
        direct = f"{await live.daemon.engine.wait_ready()}/v1"
        front = await probe_apart(direct, live.base_url, settings.pairs, settings.blocks, settings.concurrency)
        say(f"idle for {settings.idle_s:g} s")
        idle_percent = await idle_cpu_percent(settings.idle_s)
        say(f"commands: {settings.commands}")
        command_s = await command_round_trips(live, settings.commands)
        return Overhead(
            concurrency=settings.concurrency, boots=self._boots, front=front, idle_percent=idle_percent,
            command_s=command_s,
        )  # fmt: skip


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
        verdict=verdict | {"faults": seen.faults(), "passed": seen.passed},
    )  # fmt: skip
    path = save(record, folder)
    front = [Against(short=seen.front, legs={})]
    curves = {
        "added to a short request, ms": _named(seen, added_ms, front),
        "added to its first chunk, ms": _named(seen, added_first_ms, front),
        "throughput lost, nothing cached, %": _named(seen, lambda side: lost_percent(side, "fresh")),
        "throughput lost, all cached, %": _named(seen, lambda side: lost_percent(side, "cached")),
    }
    draw_distributions(path.with_suffix(".png"), "What the daemon adds", curves)
    return path


def _named(
    seen: Overhead, values: Callable[[Sequence[Against]], list[float]], front: Sequence[Against] = ()
) -> dict[str, list[float]]:
    told = {"the daemon": seen.daemon(), "another SGLang": seen.twins(), "the front alone": front}
    return {who: values(side) for who, side in told.items() if side}


def _positive(text: str) -> int:
    if (value := int(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 floors kept, 1 not, 2 could not run, 130 stopped."""
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_overhead", description=__doc__)
    for name in ("boots", "requests", "kv-tokens", "pairs", "blocks", "concurrency", "commands"):
        parser.add_argument(f"--{name}", type=_positive, default=getattr(default, name.replace("-", "_")))
    parser.add_argument("--idle-s", type=float, default=default.idle_s)
    parser.add_argument("--home", default="", help="folder of models [the user's]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    told = vars(parse_for_servers(parser, arguments))
    out = told.pop("out")
    settings, progress = Settings(**told), Progress()
    try:
        seen = run(Bench(settings, progress).run())
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
