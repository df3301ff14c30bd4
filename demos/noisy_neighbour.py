"""`python -m radixdeck.demos.noisy_neighbour`: an incident on the real engine, to be found and fixed in the console.

Under plain LRU a researcher's histories flush the planner's anchor again and again; the planner's time to first token
gets worse. Whoever sits at the console finds out and acts; with `--hands-off` the demo gives the same order itself.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of
from radixdeck.policies.residency import RunState

from .drive import Outcome, Plan, drive
from .hints import radixdeck
from .live import Live, LiveError, open_live
from .noisy import KV_TOKENS, NOISY, STEADY, VICTIM, Cast
from .progress import Progress
from .report import Record, machine, milliseconds, now_utc, points, save, table
from .screen import console_on_screen
from .until_told import run_until_told

NODE = "incident"
POLICY = "lru"
PATIENCE_S = 900.0
"""So long the incident goes on for somebody at the console, then it ends by itself."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What can be told. `calm`, `noisy`, `after`: rounds of each part; `noisy` counts where nobody is asked to act."""

    seed: int = 101
    calm: int = 25
    noisy: int = 10
    after: int = 10
    hands_off: bool = False
    model: str = ""
    out: Path | None = None
    home: str = ""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the story: its requests, and the evictions that hurt the victim in it."""

    name: str
    outcomes: list[Outcome]
    hurt: int

    def of(self, agent: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.agent == agent and not outcome.error]


def fix_of(state: RunState) -> str:
    """What an operator has done about it so far, in words; '' if nothing."""
    victim, noisy = state.agents.get(VICTIM), state.agents.get(NOISY)
    done = [
        (f"{VICTIM} retained", victim is not None and victim.retain_tokens > 0),
        (f"{VICTIM} pinned", victim is not None and victim.pinned),
        (f"{VICTIM} boosted", victim is not None and victim.boost > 0),
        (f"{NOISY} quarantined", noisy is not None and noisy.quarantined),
        ("another policy", any(on for name, on in state.policies.items() if name not in (POLICY, "operator"))),
    ]
    return ", ".join(words for words, true in done if true)


class Incident:
    """The incident under way on a live daemon."""

    def __init__(self, live: Live, options: Options, progress: Progress) -> None:
        self._live, self._options, self._progress = live, options, progress
        self._cast = Cast(options.seed)
        self.parts: list[Part] = []
        self.fix = ""

    async def run(self, gone: Callable[[], bool]) -> None:
        """All three parts. `gone`: whether nobody is at the console any more."""
        options = self._options
        await self._part("before", self._cast.calm, lambda rounds: rounds >= options.calm)
        begun_s = time.monotonic()

        def over(rounds: int) -> bool:
            if options.hands_off:
                return rounds >= options.noisy
            return bool(fix_of(self._live.daemon.state)) or gone() or time.monotonic() - begun_s > PATIENCE_S

        await self._part("incident", self._cast.noisy, over)
        if options.hands_off:
            await self._live.order("retain", {"agent": VICTIM}, f"{NOISY}'s history keeps flushing its anchor")
        self.fix = fix_of(self._live.daemon.state)
        if self.fix:
            await self._part("after", self._cast.noisy, lambda rounds: rounds >= options.after)

    async def _part(self, name: str, make: Callable[[], list[Any]], over: Callable[[int], bool]) -> None:
        outcomes: list[Outcome] = []
        hurt, rounds = self._hurt(), 0
        while not over(rounds):
            await drive(Plan(turns=make()), self._live.base_url, outcomes.append)
            rounds += 1
            self._progress.move(f"  {name}: round {rounds}, {self._hurt() - hurt} evictions have hurt {VICTIM}")
        failed = [outcome.error for outcome in outcomes if outcome.error]
        if failed and not self._live.daemon.state.agents[NOISY].quarantined:
            raise LiveError(f"{name}: {failed[0]}")
        self.parts.append(Part(name=name, outcomes=outcomes, hurt=self._hurt() - hurt))

    def _hurt(self) -> int:
        stats = self._live.daemon.state.agents.get(VICTIM)
        return stats.evictions_that_hurt if stats else 0


def config_of(options: Options) -> DaemonConfig:
    return DaemonConfig(
        node=NODE,
        port=0,
        home=options.home,
        engine=EngineSpec(model=options.model, kv_tokens=KV_TOKENS),
        policy=PolicySection(enabled=[POLICY]),
    )


async def tell(options: Options, progress: Progress) -> int:
    """Stage the incident from start to end. Raises one of EXPECTED; cleans up when cancelled."""
    config = config_of(options)
    log_to_file(config)
    progress.say(f"{VICTIM}, {STEADY} and {NOISY} share a KV cache of {KV_TOKENS:,} tokens under {POLICY}")
    progress.say("starting the daemon and the engine (half a minute; the first time a model is made as well)")
    async with open_live(config, progress) as live:
        recording = live.daemon.recording
        incident = Incident(live, options, progress)
        if options.hands_off:
            await incident.run(lambda: True)
        else:
            await _with_console(incident, options, progress)
    _report(incident, options, recording, progress)
    return 0


async def _with_console(incident: Incident, options: Options, progress: Progress) -> None:
    progress.say("opening the console: find out why the planner got slow, and fix it; q leaves (docs/incident.md)")
    async with console_on_screen(NODE, options.home, progress) as console:
        await incident.run(lambda: console.returncode is not None)
        await console.wait()


def summary(parts: Sequence[Part]) -> str:
    """The victim in each part, side by side."""
    header = [VICTIM, *(part.name for part in parts)]
    mine = [part.of(VICTIM) for part in parts]
    rows = [
        ["requests", *(str(len(of)) for of in mine)],
        ["hit rate, %", *(points(hit_rate(of)) for of in mine)],
        ["time to first token, median ms", *(milliseconds(ttft_s(of)) for of in mine)],
        ["evictions that hurt it", *(str(part.hurt) for part in parts)],
    ]
    return table(header, rows)


def hit_rate(outcomes: Sequence[Outcome]) -> float:
    prompt = sum(outcome.prompt_tokens for outcome in outcomes)
    return sum(outcome.cached_tokens for outcome in outcomes) / prompt if prompt else 0.0


def ttft_s(outcomes: Sequence[Outcome]) -> float:
    return statistics.median(outcome.ttft_s for outcome in outcomes) if outcomes else 0.0


def _report(incident: Incident, options: Options, recording: Path, progress: Progress) -> None:
    print(f"\n{summary(incident.parts)}\n\nfix: {incident.fix or 'none; the incident was left as it was'}", flush=True)
    results = {
        part.name: {
            agent: {"requests": len(of), "hit_rate": round(hit_rate(of), 4), "ttft_p50_s": round(ttft_s(of), 4)}
            for agent in (VICTIM, STEADY, NOISY)
            if (of := part.of(agent))
        }
        | {"hurt": part.hurt}
        for part in incident.parts
    }
    settings = {"kv_tokens": KV_TOKENS, "policy": POLICY, **msgspec.to_builtins(_asked(options))}
    record = Record(kind="noisy_neighbour", at=now_utc(), machine=machine(), settings=settings, results=results)
    path = save(record, options.out or home_of(options.home).home / "results")
    progress.say(f"\nrecord    {path}\nrecording {recording}")
    progress.say(f"replay    {radixdeck('replay', str(recording))}")


def _asked(options: Options) -> dict[str, Any]:
    names = ("seed", "calm", "noisy", "after", "hands_off")
    return {name: getattr(options, name) for name in names}


def parse(arguments: Sequence[str] | None) -> Options:
    default = Options()
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.noisy_neighbour", description=__doc__)
    parser.add_argument("--seed", type=int, default=default.seed, help="of what is asked [%(default)s]")
    parser.add_argument("--hands-off", action="store_true", help="no console: the demo itself gives the order")
    parser.add_argument("--model", default="", help="model id or path; none: a small one made on the spot")
    parser.add_argument("--out", type=Path, help="folder for the record [results/ in the home folder]")
    parser.add_argument("--home", default="", help="folder of recordings, logs and models [the user's]")
    told = parser.parse_args(arguments)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return Options(
        seed=told.seed, hands_off=told.hands_off or not terminal, model=told.model, out=told.out, home=told.home
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Exit codes: 0 done, 2 could not run, 130 stopped."""
    options = parse(arguments)
    return run_until_told("incident", lambda progress: tell(options, progress))


if __name__ == "__main__":
    sys.exit(main())
