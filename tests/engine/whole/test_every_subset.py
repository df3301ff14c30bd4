"""Every subset of the nine policies on the real engine, one order after the other, while callers keep it busy and the
cache is full: everybody gets an answer, and the answer that they always got.

The order is Gray's: 512 subsets by 512 switches of one policy each, and between any two at least one more is answered
and asks again. What holds the slot `eviction` beside `kv_caching` is LRU there; its other holders take their turns with
all other policies on, not with every subset of those: that would be 2,800 subsets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from radixdeck.daemon.engine.protocol import Snapshot
from radixdeck.daemon.runtime import Daemon
from radixdeck.policies.doorkeeping import Doorkeeper
from radixdeck.policies.events import (
    ActionTaken,
    EngineLoadSampled,
    EventsDropped,
    NodeEvicted,
    PolicyFailed,
    PolicySwitched,
    RequestHedged,
    RequestHeld,
    RequestRefused,
)
from radixdeck.policies.registry import BUILT_IN, create
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.session import open_session
from whole.callers import Callers
from whole.stage import Facts, all_owned, flush, idle, settled

NINE = (
    "kv_caching", "memoization", "safety", "fairness", "batch_shaping", "critical_path", "hedging", "admission",
    "speculation",
)  # fmt: skip
"""Switched the more often the further ahead: those behind ask for something only when they have seen enough."""
KEEN: dict[str, dict[str, float]] = {
    "fairness": {"places": 3, "ahead": 2},
    "batch_shaping": {"ahead": 2, "least_tokens": 16, "follow_s": 0.1},
    "critical_path": {"ahead": 2},
    "hedging": {"quantile": 0.5, "least_samples": 5, "floor_ms": 0, "budget": 1},
    "admission": {"fill": 0.3, "longest_wait_s": 0.3, "pause_s": 1},
    "speculation": {"delay_weight": 0, "margin": 0},
}
"""With these they have something to do at every turn."""
STRETCH = 32
"""Switches between two looks, and two pauses in which what is not urgent is done."""
PAUSE_S = 0.05


def gray(names: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """One switch after the other, from none on through every subset back to none."""
    on = dict.fromkeys(names, False)
    for number in range(1, 2 ** len(names) + 1):
        name = names[min((number & -number).bit_length(), len(names)) - 1]
        on[name] = not on[name]
        yield name, on[name]


def orders() -> Iterator[tuple[str, bool]]:
    """Every subset, then all of them with each other holder of the slot, in the end what was on at first."""
    yield from gray(NINE)
    yield from ((name, True) for name in NINE)
    yield from ((name, True) for name in BUILT_IN if name != "kv_caching" and create(name).slot == "eviction")
    yield from ((name, name == "kv_caching") for name in NINE)


def on_now(daemon: Daemon) -> set[str]:
    return {name for name, on in daemon.state.policies.items() if on} - {"operator"}


async def look(daemon: Daemon, wanted: set[str]) -> None:
    """The run, the daemon's own policies and the door have on what was ordered, and nothing fell over."""
    holder = {name for name in wanted if create(name).slot == "eviction"} or {"lru"}
    await settled(daemon, lambda _: on_now(daemon) == wanted | holder, timeout_s=10)
    facts = {fact.name: fact for fact in daemon.host.info()}
    assert {name for name, fact in facts.items() if fact.enabled} == {*wanted, *holder, "operator"}
    assert [fact.failed for fact in facts.values() if fact.failed] == []
    assert daemon.door.hedges == ("hedging" in wanted)
    assert daemon.door.guarded == any(isinstance(create(name), Doorkeeper) for name in wanted)


def test_grays_order_has_every_subset_once() -> None:
    seen = set[frozenset[str]]()
    on = set[str]()
    for name, enabled in gray(NINE):
        assert (name in on) != enabled
        on ^= {name}
        seen.add(frozenset(on))
    assert (len(seen), on) == (512, set())
    assert {*NINE} == {n for n in BUILT_IN if not BUILT_IN[n].startswith("baselines.")} - {"lru", "operator"}


@pytest.mark.engine
@pytest.mark.asyncio(loop_scope="package")
async def test_every_subset_composes_under_load(daemon: Daemon, facts: Facts) -> None:
    began, starts, oddities = len(facts.told), daemon.state.totals.engine_starts, daemon.state.totals.oddities
    for policy, tunables in KEEN.items():
        for name, value in tunables.items():
            assert (await daemon.command("tune", {"policy": policy, "name": name, "value": value})).state == "done"
    assert (await daemon.command("policy", {"name": "kv_caching", "enabled": False})).state == "done"
    on, switches = set[str](), 0
    async with Callers(daemon.url) as callers:
        for switches, (name, enabled) in enumerate(orders(), start=1):
            reply = await daemon.command("policy", {"name": name, "enabled": enabled})
            assert reply.state == "done", reply
            slot = create(name).slot
            on = {other for other in on if not (enabled and slot and create(other).slot == slot)} - {name}
            on |= {name} if enabled else set()
            await callers.one_more()
            assert callers.failed == [], on
            if switches % STRETCH == 0:
                await callers.pause(PAUSE_S)
                await look(daemon, on)
    assert on == {"kv_caching"}
    await look(daemon, on)
    assert (callers.failed, callers.other) == ([], [])
    assert callers.asked >= switches > 512
    assert callers.fixed_asked > 100
    told = facts.told[began:]
    check_what_was_told(told)
    assert daemon.state.totals.engine_starts == starts
    assert daemon.state.totals.oddities == oddities
    await check_accounts(daemon, facts)
    await check_recording(daemon)


def check_what_was_told(told: Sequence[object]) -> None:
    kinds = Counter(type(fact) for fact in told)
    assert [fact for fact in told if isinstance(fact, PolicyFailed | EventsDropped | RequestRefused)] == []
    assert kinds[PolicySwitched] > 512
    assert kinds[NodeEvicted] > 512, "there is not room for everybody"
    holders = {fact.by for fact in told if isinstance(fact, RequestHeld)}
    assert holders >= {"admission", "batch_shaping", "critical_path", "fairness"}
    assert {fact.what for fact in told if isinstance(fact, RequestHedged)} >= {"lost"}
    assert "speculation" in {fact.by for fact in told if isinstance(fact, ActionTaken)}


async def check_accounts(daemon: Daemon, facts: Facts) -> None:
    """At rest everything in the pool is in the tree and none of it locked, by the fold's and the engine's accounts."""
    await settled(daemon, lambda state: idle(state) and not daemon.actions.warming)
    tree = await daemon.link.order(Snapshot(daemon.link.new_id()))  # whatever the engine had to say before, it has said
    state = await settled(daemon, lambda state: all_owned(state) and state.used_tokens == tree.tokens, timeout_s=10)
    (*_, load) = (fact for fact in facts.told if isinstance(fact, EngineLoadSampled))
    assert load.used_tokens == load.evictable_tokens == state.used_tokens > 0
    await flush(daemon)


async def check_recording(daemon: Daemon) -> None:
    """What is recorded, folded from its begin, and from its last keyframe, is what the daemon says."""
    seq, live = daemon.journal.seq, msgspec.to_builtins(daemon.state)
    await daemon.recorder.flush()
    with open_session(daemon.recording) as session:
        sought = session.state_after(seq)
        events = session.events(0, seq)
        assert session.skipped == 0
    assert [number for number, _ in events] == [*range(1, seq + 1)]
    folded = RunState()
    for _, event in events:
        fold(folded, event)
    assert msgspec.to_builtins(folded) == live
    assert msgspec.to_builtins(sought) == live
