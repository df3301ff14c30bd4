"""What operators asked for agents outlives an engine: told to the next one for as long as it was meant to hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio
from brokers import until
from test_without_engine import config

from radixdeck.daemon.anchors import AnchorBook
from radixdeck.daemon.carry_over import facts_for_new_engine
from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.engine.protocol import EventsSent, Hello, Observe, Order
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState, fold

MINUTE_NS = 60 * 10**9


def ordered(kind: e.ActionKind, ago_ns: int, **more: float) -> e.ActionTaken:
    return e.ActionTaken(t_ns=now_ns() - ago_ns, id=kind, kind=kind, agent="planner", by="me", result="done", **more)


def told(*orders: e.ActionTaken) -> dict[str, e.ActionTaken]:
    """What the next engine is told, by kind, and that it means to the daemon what was meant before."""
    state = RunState()
    for order in orders:
        fold(state, order)
    book = AnchorBook(upstream=lambda: None, hint=lambda fact: None, now_ns=now_ns)
    facts = [fact for fact in facts_for_new_engine(state, book) if isinstance(fact, e.ActionTaken)]
    before = state.agents["planner"]
    until_ns, boosted_ns = before.retain_until_ns, before.boost_until_ns
    for fact in facts:
        fold(state, fact)
    after = state.agents["planner"]
    assert after.retain_until_ns == pytest.approx(until_ns, abs=10**9)
    assert after.boost_until_ns == pytest.approx(boosted_ns, abs=10**9)
    return {fact.kind: fact for fact in facts}


@asynccontextmanager
async def connected(daemon: Daemon, pid: int) -> AsyncIterator[zmq.asyncio.Socket]:
    """An engine's end of the link, which has said Hello."""
    context = zmq.asyncio.Context()
    engine = context.socket(zmq.DEALER)
    engine.connect(daemon.link._endpoint)
    await engine.send(msgspec.json.encode(Hello(pid, 0)))
    try:
        yield engine
    finally:
        context.destroy(linger=0)


def test_a_retain_is_over_when_it_would_have_been() -> None:
    long = told(ordered("retain", 30 * MINUTE_NS, amount=100.0, ttl_s=3_600.0))["retain"]
    assert long.amount == 100.0
    assert 3_000 < long.ttl_s < 3_600
    short = told(ordered("retain", 5 * MINUTE_NS, amount=100.0, ttl_s=120.0))["retain"]
    assert short.ttl_s < 120


def test_what_is_over_is_not_told_and_a_pin_and_a_boost_are() -> None:
    facts = told(
        ordered("pin", MINUTE_NS), ordered("boost", MINUTE_NS, amount=2.0, ttl_s=300.0),
        ordered("retain", 100 * MINUTE_NS, amount=100.0, ttl_s=60.0),
    )  # fmt: skip
    assert sorted(facts) == ["boost", "pin"]


async def test_an_engine_is_told_as_soon_as_it_connects(tmp_path: Path) -> None:
    async with open_daemon(config(tmp_path)) as daemon, connected(daemon, 1) as first:
        sent = EventsSent(0, [ordered("pin", MINUTE_NS)])
        await first.send(msgspec.json.encode(sent))
        await until(lambda: "planner" in daemon.state.agents, "what was ordered is known")
        async with connected(daemon, 2) as second:
            order = msgspec.json.decode(await asyncio.wait_for(second.recv(), 10), type=Order)
    assert isinstance(order, Observe)
    assert [(fact.kind, fact.agent) for fact in order.events if isinstance(fact, e.ActionTaken)] == [("pin", "planner")]
