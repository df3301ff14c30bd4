"""The demo: the real engine under tight KV memory, the same requests under LRU and then under an agent-aware policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of

from .apart import Drive, drive_apart
from .drive import Plan
from .hints import radixdeck
from .live import Live, open_live
from .measure import Bound, Summary, summarise
from .picture import draw_drives
from .progress import Counting, Progress
from .report import Record, machine, milliseconds, now_utc, points, save, table
from .screen import console_on_screen
from .sources import describe, load
from .workloads import DEMO_KV_TOKENS, REPORT_SEEDS, Turn, WorkloadSpec

NODE = "demo"
FIRST_POLICY = "lru"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo can be told. `logs`: real conversations instead of a generated workload."""

    requests: int = 160
    seed: int = REPORT_SEEDS[0]
    policy: str = "kv_caching"
    kv_tokens: int = DEMO_KV_TOKENS
    sessions: int = WorkloadSpec().sessions
    logs: Path | None = None
    model: str = ""
    console: bool = False
    out: Path | None = None
    home: str = ""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One policy's run over the requests. `hurt`: evictions that a later request paid for."""

    policy: str
    drive: Drive
    summary: Summary
    bound: Bound
    evictions: int
    hurt: int
    hurt_tokens: int
    warmups: int


def workload_of(options: Options) -> WorkloadSpec:
    return WorkloadSpec(seed=options.seed, requests=options.requests, sessions=options.sessions)


def config_of(options: Options) -> DaemonConfig:
    return DaemonConfig(
        node=NODE,
        port=0,
        home=options.home,
        engine=EngineSpec(model=options.model, kv_tokens=options.kv_tokens),
        policy=PolicySection(enabled=[FIRST_POLICY]),
    )


async def tell(options: Options, progress: Progress) -> int:
    """Run the demo from start to end. Returns the exit code: 1 if any request failed.

    Raises WorkloadError, LiveError, DriveError or what a daemon cannot start for. Cleans up when cancelled.
    """
    turns = load(workload_of(options), options.logs, progress.say)
    config = config_of(options)
    log_to_file(config)
    _introduce(options, turns, progress)
    async with open_live(config, progress) as live:
        recording = live.daemon.recording
        phases = await _phases_on_screen(live, options, turns, progress)
    _report(options, phases, recording, progress)
    return 1 if any(phase.summary.failed for phase in phases) else 0


def _introduce(options: Options, turns: list[Turn], progress: Progress) -> None:
    source = f"from {options.logs}" if options.logs else f"generated with seed {options.seed}"
    agents, sessions = len({turn.agent for turn in turns}), len({turn.session for turn in turns})
    progress.say(f"{len(turns)} requests of {agents} agents in {sessions} sessions, {source}")
    progress.say(f"KV cache: {options.kv_tokens:,} tokens; first {FIRST_POLICY}, then {options.policy}")
    progress.say("starting the daemon and the engine (half a minute; the first time a model is made as well)")


async def _phases_on_screen(live: Live, options: Options, turns: list[Turn], progress: Progress) -> list[Phase]:
    """Both phases, watched in the console if there is a terminal for it; then it stays until the user leaves it."""
    progress.say(f"ready: OpenAI-compatible at {live.base_url}")
    if not options.console:
        progress.say(f"to watch from another terminal:  {radixdeck('console', '--node', NODE, home=options.home)}")
        return await _phases(live, options, turns, progress)
    progress.say("opening the console; it stays open when the demo is through, q leaves it and shows the results")
    async with console_on_screen(NODE, options.home, progress) as console:
        phases = await _phases(live, options, turns, progress)
        await console.wait()
    return phases


async def _phases(live: Live, options: Options, turns: list[Turn], progress: Progress) -> list[Phase]:
    return [await _phase(live, policy, turns, progress) for policy in (FIRST_POLICY, options.policy)]


async def _phase(live: Live, policy: str, turns: list[Turn], progress: Progress) -> Phase:
    await live.switch(policy)
    progress.say(f"{policy}:")
    before = msgspec.structs.replace(live.totals)
    plan = Plan(turns=turns, session_prefix=f"{policy}-")
    drive = await drive_apart(plan, live.base_url, Counting(progress, policy, len(turns)))
    after = live.totals
    return Phase(
        policy=policy,
        drive=drive,
        summary=summarise(drive),
        bound=await live.bound(drive.outcomes),
        evictions=after.evictions - before.evictions,
        hurt=after.evictions_that_hurt - before.evictions_that_hurt,
        hurt_tokens=after.hurt_tokens - before.hurt_tokens,
        warmups=after.warmups - before.warmups,
    )


def _report(options: Options, phases: list[Phase], recording: Path, progress: Progress) -> None:
    print(comparison(phases), flush=True)
    folder = options.out or home_of(options.home).home / "results"
    settings = {"kv_tokens": options.kv_tokens, "workload": describe(workload_of(options), options.logs)}
    results: dict[str, Any] = {phase.policy: _without_outcomes(phase) for phase in phases}
    record = Record(kind="demo", at=now_utc(), machine=machine(), settings=settings, results=results)
    path = save(record, folder)
    picture = path.with_suffix(".png")
    title = f"{phases[0].summary.requests} requests, KV cache {options.kv_tokens:,} tokens"
    bound = max(phase.bound.hit_rate for phase in phases)
    draw_drives(picture, title, {phase.policy: phase.drive.outcomes for phase in phases}, bound)
    progress.say(f"\nrecord    {path}\npicture   {picture}\nrecording {recording}")
    progress.say(f"replay    {radixdeck('replay', str(recording))}")


def _without_outcomes(phase: Phase) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(phase).items() if name != "drive"}


def comparison(phases: list[Phase]) -> str:
    """The table at the end: one column per policy, and what no eviction order could have passed."""
    first, *others = phases
    header = ["", first.policy, *(phase.policy for phase in others), "Belady's bound"]
    s = [phase.summary for phase in phases]
    rows = [
        ["hit rate, %", *(points(x.hit_rate) for x in s), points(max(phase.bound.hit_rate for phase in phases))],
        ["mean time to first token, ms", *(milliseconds(x.ttft_mean_s) for x in s), ""],
        ["  median", *(milliseconds(x.ttft_p50_s) for x in s), ""],
        ["  95th percentile", *(milliseconds(x.ttft_p95_s) for x in s), ""],
        ["requests/s", *(f"{x.requests_per_s:.2f}" for x in s), ""],
        ["prompt and output tokens/s", *(f"{x.tokens_per_s:,.0f}" for x in s), ""],
        ["prefill tokens saved", *(f"{x.cached_tokens:,}" for x in s), ""],
        ["prefill tokens computed", *(f"{x.prompt_tokens - x.cached_tokens:,}" for x in s), ""],
        ["evictions", *(f"{phase.evictions:,}" for phase in phases), ""],
        ["evictions that hurt", *(f"{phase.hurt:,}" for phase in phases), ""],
        ["  tokens computed again", *(f"{phase.hurt_tokens:,}" for phase in phases), ""],
        ["failed requests", *(str(x.failed) for x in s), ""],
    ]
    notes = (
        "Same requests in the same order; histories are scripted, answers always equally long.",
        f"{', '.join(phase.policy for phase in others)} had watched the first run before it took over.",
        "The bound is for evictions alone; loading a prefix ahead of its use can pass it.",
    )
    return "\n".join(["", table(header, rows), "", *notes])
