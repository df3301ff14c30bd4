"""One case of a policy on the real engine: the same requests with the policy off and on, in turns, on one engine.

The policy is switched and tuned by orders over MQTT, as an operator does it, and the cache is emptied before each
drive. What is beneath (the order of evictions, anchors) has seen one drive that is not counted, so that the first
counted one is not the only one without that.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.paths import home_of
from radixdeck.policies.residency import Rulings

from .apart import Drive, drive_apart
from .drive import Plan
from .live import Live, LiveError, open_live
from .measure import Summary, summarise
from .policy_case import PolicyCase
from .policy_measures import WRONG, Ahead, Counted, calls_of
from .policy_tools import POLICY as TOOLS_POLICY
from .policy_tools import TOLD_S, DriveTools, faults_of
from .progress import Counting, Progress
from .stock import flush, open_stock
from .workloads import TUNING_SEEDS

FOUND_TRIES, FOUND_PERIOD_S = 40, 0.25
"""For the daemon to see that the second engine serves what its own does."""
FLUSH_TRIES = 8
SAME_TOKENS = 0.01
"""By so large a share may the prompts of two halves differ that have results of tools in them."""
SETTLE_S = 1.0
"""For the engine's last word on the requests of a drive, before the next one begins."""
WHY = "bench: the same requests with it and without"


class Half(msgspec.Struct, frozen=True, kw_only=True):
    """One drive. `measures`: the case's numbers; `held`, `refused`: by the policy; `held_s`: waited at its door by
    those that it let in, all together; `fell`: whether the policy raised and was switched off; `twice`: sent to a
    second engine too, `elsewhere`: answered there first, `wasted_tokens`: computed twice for that, at most;
    `ahead`: what was computed before it was asked for; `tool_calls`: that the sessions made, `tool_runs`: that their
    server counted, `tools_said`: by the proxy before it."""

    measures: dict[str, float]
    summary: Summary
    held: int = 0
    refused: int = 0
    held_s: float = 0.0
    fell: bool = False
    twice: int = 0
    elsewhere: int = 0
    wasted_tokens: int = 0
    ahead: Ahead = Ahead()
    tool_calls: int = 0
    tool_runs: int = 0
    tools_said: list[str] = []


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one seed, with the policy off and on. `on_first`: which came first. `faults`: what makes this
    pair doubtful, in words."""

    seed: int
    on_first: bool
    off: Half
    on: Half
    faults: list[str] = []


@asynccontextmanager
async def open_for(case: PolicyCase, model: str, home: str, progress: Progress) -> AsyncGenerator[Live]:
    """A daemon as the case wants it. Raises what `open_live` and `open_stock` raise."""
    with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
        config = _config(case, model, home, Path(folder))
        log_to_file(config)
        async with AsyncExitStack() as stack:
            if case.second:
                stock = msgspec.structs.replace(config.engine, cache="sglang")
                url = await stack.enter_async_context(open_stock(stock, folder, progress))
                config = msgspec.structs.replace(config, engine=msgspec.structs.replace(config.engine, replicas=(url,)))
            yield await stack.enter_async_context(open_live(config, progress))


def _config(case: PolicyCase, model: str, home: str, folder: Path) -> DaemonConfig:
    """Recordings of a bench go to a folder of their own and are not kept. Proxies follow a daemon that was started with
    memoization; its first order is to switch it off."""
    (folder / "models").symlink_to(home_of(home).models)
    rules: dict[str, str] = {}
    for name, words in case.rules.items():
        path = folder / f"{name}.toml"
        path.write_text(words, encoding="utf-8")
        rules[name] = str(path)
    return DaemonConfig(
        node="bench", port=0, home=str(folder),
        engine=EngineSpec(model=model, kv_tokens=case.kv_tokens, sglang_args=case.sglang_args),
        policy=PolicySection(enabled=[*case.beside, *([TOOLS_POLICY] if case.tool_s else [])], rules=rules),
    )  # fmt: skip


class PolicyRuns:
    """Runs a policy's cases on `live`."""

    def __init__(self, policy: str, live: Live, progress: Progress) -> None:
        self._policy, self._live, self._progress = policy, live, progress
        self._drives = 0

    async def prepare(self, case: PolicyCase, requests: int) -> None:
        """Tune the policy and let what is beneath see requests like the case's, of another seed."""
        for name, value in case.tunables.items():
            await self._live.order("tune", {"policy": self._policy, "name": name, "value": value}, WHY)
        await self._drive(case, TUNING_SEEDS[0], max(1, requests // 2), on=False, label="not counted")

    async def pair(self, case: PolicyCase, seed: int, requests: int, *, on_first: bool) -> Pair:
        """Both halves. Raises LiveError or DriveError in words."""
        halves: dict[bool, Half] = {}
        for on in (on_first, not on_first):
            halves[on] = await self._drive(case, seed, requests, on=on, label=f"{self._policy} {'on' if on else 'off'}")
        off, on = halves[False], halves[True]
        return Pair(seed=seed, on_first=on_first, off=off, on=on, faults=_faults(case, off, on))

    async def _drive(self, case: PolicyCase, seed: int, requests: int, *, on: bool, label: str) -> Half:
        self._drives += 1
        turns = case.turns(seed, requests)
        switched = case.together or (self._policy,)
        for policy in switched:
            await self._live.order("policy", {"name": policy, "enabled": on}, WHY)
        await self._flush()
        if case.second:
            await self._flush_second()
        tools = await self._tools(case)
        before, ahead = self._rulings(switched), self._ahead(switched)
        plan = Plan(
            turns=turns, concurrency=case.sessions, by_session=True, arrivals=case.arrivals,
            session_prefix=f"drive-{self._drives}-", tools=tools.server if tools else None,
        )  # fmt: skip
        told = Counting(self._progress, f"{case.name}, {label}", len(turns))
        drive = await drive_apart(plan, self._live.base_url, told)
        await asyncio.sleep(SETTLE_S)
        on_now = self._live.daemon.state.policies
        fell = on and not all(on_now.get(policy, False) for policy in switched)
        counted = Counted(ahead=_since(ahead, self._ahead(switched)), tool_runs=tools.runs if tools else 0)
        half = _half(case, drive, before, self._rulings(switched), counted, fell)
        return msgspec.structs.replace(half, tools_said=tools.said) if tools else half

    async def _tools(self, case: PolicyCase) -> DriveTools | None:
        """Fresh tools for a drive whose sessions call some, once their proxy will know what is switched off."""
        if not case.tool_s:
            return None
        await asyncio.sleep(TOLD_S)
        return DriveTools(case, self._live.daemon.config.home)

    async def _flush(self) -> None:
        """Empty the engine's cache. Raises LiveError. One that still prefills something ahead refuses at first."""
        for _ in range(FLUSH_TRIES):
            with suppress(LiveError):
                return await self._live.order("flush", {}, WHY)
            await asyncio.sleep(FOUND_PERIOD_S)
        await self._live.order("flush", {}, WHY)

    async def _flush_second(self) -> None:
        """Empty the second engine's cache too. Raises LiveError if it cannot be used."""
        replicas = self._live.daemon.replicas
        for _ in range(FOUND_TRIES):
            if (replica := replicas.next()) is not None:
                await flush(replica.url)
                return
            await asyncio.sleep(FOUND_PERIOD_S)
        raise LiveError(f"the second engine cannot be used: {replicas.words()}")

    def _rulings(self, policies: Sequence[str]) -> Rulings:
        """What they have done at the door so far, together."""
        told = [self._live.daemon.state.rulings.get(policy, Rulings()) for policy in policies]
        return Rulings(
            held=sum(one.held for one in told), refused=sum(one.refused for one in told),
            held_s=sum(one.held_s for one in told), wasted_tokens=sum(one.wasted_tokens for one in told),
            hedges=dict(sum((Counter(one.hedges) for one in told), Counter[str]())),
        )  # fmt: skip

    def _ahead(self, policies: Sequence[str]) -> Ahead:
        """What was computed ahead so far. A policy that is off tells nothing."""
        facts = [one for one in self._live.daemon.host.info() if one.name in policies]
        used = sum(int(one.tells.get("used_tokens", 0)) for one in facts)
        return Ahead(tokens=self._live.totals.warm_tokens, used_tokens=used)


def _since(before: Ahead, after: Ahead) -> Ahead:
    return Ahead(tokens=after.tokens - before.tokens, used_tokens=after.used_tokens - before.used_tokens)


def _half(case: PolicyCase, drive: Drive, before: Rulings, after: Rulings, counted: Counted, fell: bool) -> Half:
    measures = {measure.name: measure.of(drive) for measure in case.measures}
    return Half(
        measures=measures | {count.name: count.read(counted) for count in case.counts},
        summary=summarise(drive),
        held=after.held - before.held,
        refused=after.refused - before.refused,
        held_s=after.held_s - before.held_s,
        fell=fell,
        twice=_sent(after) - _sent(before),
        elsewhere=after.hedges.get("won", 0) - before.hedges.get("won", 0),
        wasted_tokens=after.wasted_tokens - before.wasted_tokens,
        ahead=counted.ahead,
        tool_calls=len(calls_of(drive.outcomes)),
        tool_runs=counted.tool_runs,
    )


def _sent(rulings: Rulings) -> int:
    """Requests that went to a second engine too."""
    return sum(number for what, number in rulings.hedges.items() if what != "kept")


def _differ(case: PolicyCase, off: Summary, on: Summary) -> bool:
    """Whether more was asked in one half. What a tool says of what others change depends on the moment."""
    may = SAME_TOKENS * off.prompt_tokens if case.tool_s else 0
    return abs(on.prompt_tokens - off.prompt_tokens) > may


def _faults(case: PolicyCase, off: Half, on: Half) -> list[str]:
    found: list[str] = []
    for name, half in (("off", off), ("on", on)):
        if half.summary.failed or half.summary.retried:
            found.append(f"{name}: {half.summary.failed} requests failed, {half.summary.retried} needed another try")
        if case.tool_s:
            found += faults_of(name, half.tool_calls, half.tool_runs, half.tools_said, half.measures[WRONG.name])
    if _differ(case, off.summary, on.summary) and not off.summary.failed + on.summary.failed:
        found.append(f"prompts differ: {off.summary.prompt_tokens} and {on.summary.prompt_tokens} tokens")
    if off.held + off.refused:
        found.append(f"off: {off.held} held and {off.refused} refused by a policy that is off")
    needed = case.second and case.holds is not False
    if off.twice or (needed and not on.twice):
        found.append(f"sent to the second engine too: {off.twice} while it was off, {on.twice} while it was on")
    if off.ahead.tokens:
        found.append(f"off: {off.ahead.tokens} tokens computed ahead by a policy that is off")
    if on.fell:
        found.append("on: the policy raised and was switched off")
    ruled = on.held + on.refused
    if case.holds is not None and case.holds != (ruled > 0):
        found.append(f"on: {on.held} held and {on.refused} refused, where {'some' if case.holds else 'none'} should be")
    return found
