"""One workload on one seed, on both systems, each on a fresh engine.

Every measurement boots its engine, so each begins with an empty cache and with a policy that has learned nothing, and
only one engine is alive at a time. SGLang is driven directly, ours through the daemon's front with everything on
(events, recording, MQTT). Both get the same CPU fill-ins where there is no GPU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec, Size
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of

from .apart import Drive, drive_apart
from .drive import Plan
from .live import open_live
from .measure import Bound, Summary, summarise
from .progress import Counting, Progress
from .sources import load
from .stock import open_stock
from .versus import Repetition, Side
from .workloads import WorkloadSpec


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A workload, or recorded conversations (`logs`), at one size of KV memory. `tight`: the floors are for it."""

    name: str
    workload: WorkloadSpec
    kv_tokens: int
    logs: Path | None = None
    tight: bool = True


class Arms(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same in all measurements. `policy`: names of those that are on, by commas; `session_ends`:
    callers say which request of a session is its last; `size`: of the model made on the spot, where no `model` is
    named; `sglang_args`: further arguments of both systems' servers."""

    policy: str = "kv_caching"
    concurrency: int = 1
    session_ends: bool = False
    model: str = ""
    size: Size = "demo"
    sglang_args: tuple[str, ...] = ()
    home: str = ""

    def engine(self, cache: Side, kv_tokens: int) -> EngineSpec:
        return EngineSpec(
            model=self.model, size=self.size, sglang_args=self.sglang_args, kv_tokens=kv_tokens, cache=cache
        )

    def plan(self, case: Case, seed: int, complain: Callable[[str], None]) -> Plan:
        """The requests of one repetition. Raises WorkloadError."""
        turns = load(msgspec.structs.replace(case.workload, seed=seed), case.logs, complain)
        return Plan(turns=turns, concurrency=self.concurrency, session_ends=self.session_ends)


async def measure_both(arms: Arms, case: Case, seed: int, first: Side, progress: Progress) -> Repetition:
    """Both systems on the same requests, `first` first. Raises LiveError, DriveError or EngineNotReady in words."""
    plan = arms.plan(case, seed, progress.say)
    summaries: dict[Side, Summary] = {}
    bound = Bound(0.0, 0)
    order: tuple[Side, Side] = ("sglang", "radixdeck") if first == "sglang" else ("radixdeck", "sglang")
    for side in order:
        if side == "sglang":
            drive = await _sglang(arms, case, plan, progress)
        else:
            drive, bound = await _radixdeck(arms, case, plan, progress)
        summaries[side] = summarise(drive)
    return Repetition(seed=seed, first=first, bound=bound, **summaries)


async def _sglang(arms: Arms, case: Case, plan: Plan, progress: Progress) -> Drive:
    async with open_stock(arms.engine("sglang", case.kv_tokens), arms.home, progress) as url:
        return await drive_apart(plan, f"{url}/v1", Counting(progress, "sglang", len(plan.turns)))


async def _radixdeck(arms: Arms, case: Case, plan: Plan, progress: Progress) -> tuple[Drive, Bound]:
    """Our daemon around the same engine; recordings of a benchmark go to a folder of their own and are not kept."""
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
        (Path(folder) / "models").symlink_to(home_of(arms.home).models)
        config = DaemonConfig(
            node="bench", port=0, home=folder, engine=arms.engine("radixdeck", case.kv_tokens),
            policy=PolicySection(enabled=arms.policy.split(",")),
        )  # fmt: skip
        log_to_file(config)
        async with open_live(config, progress) as live:
            counting = Counting(progress, f"radixdeck ({arms.policy})", len(plan.turns))
            drive = await drive_apart(plan, live.base_url, counting)
            return drive, await live.bound(drive.outcomes)
