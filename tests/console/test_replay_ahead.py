"""A replay that goes ahead by more than the events that come with a seek: what is known of those it passed over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scenario import NODE, run_events
from staging import recorded
from test_replay import Reader

from radixdeck.console.feed import HISTORY_EVENTS, ReplayFeed
from radixdeck.console.fleet_state import NodeState
from radixdeck.policies import events as e
from radixdeck.storage.session import Session

EVENTS = run_events()
LAST_NS = EVENTS[-1].t_ns
S = 1_000_000_000
ORDERS: list[e.AnyEvent] = [
    e.ActionTaken(t_ns=LAST_NS + 1, id="1", kind="pin", agent="planner", by="ann@desk", why="ticket 7"),
    e.ActionTaken(t_ns=LAST_NS + 2, id="2", kind="warm", agent="planner", by="ours"),
    e.ActionTaken(t_ns=LAST_NS + 3, id="3", kind="unpin", agent="planner", by="ann@desk", why="ticket 7 done"),
]
ALL: list[e.AnyEvent] = [
    *EVENTS,
    e.PolicySwitched(t_ns=LAST_NS, policy="ours", enabled=True, by="host"),
    *ORDERS,
    *(
        e.EngineLoadSampled(
            t_ns=LAST_NS + (3 + n) * S, running=0, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=4000
        )
        for n in range(2 * HISTORY_EVENTS)
    ),
]


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    opened = await recorded(tmp_path / "run.db", ALL)
    yield opened
    opened.close()


async def ahead(session: Session, *seqs: int) -> NodeState:
    """Sought there one after the other, and read to the last event of before."""
    feed = ReplayFeed(session, playing=False)
    reader = Reader(feed)
    await reader.read(4)
    for seq in seqs:
        feed.seek(session.arrived_ns(seq))
        while reader.fleet.nodes[NODE].log.last_seq < seq or reader.seq < seq:
            await reader.read(1)
    return reader.fleet.nodes[NODE]


async def test_what_operators_did_in_what_is_passed_over_is_listed(session: Session) -> None:
    entry = await ahead(session, 250, len(ALL))
    listed = entry.orders.listed(entry.run)
    assert [(done.words, done.by) for done in listed[:3]] == [
        ("unpin planner", "ann@desk"), ("pin planner", "ann@desk"), ("pin planner", "operator"),
    ]  # fmt: skip
    assert "ours" not in {done.by for done in listed}, "what a policy of another package did is no order"
    assert len(entry.log) < len(ALL), "they are not in the log, which has a gap there"


async def test_what_is_passed_over_is_a_gap_of_the_log_and_what_comes_with_the_seek_is_none(session: Session) -> None:
    entry = await ahead(session, 250, 260, 300)
    assert entry.log.missing(0) == []
    before = entry.log.last_seq
    entry = await ahead(session, 250, 260, 300, len(ALL))
    assert entry.log.missing(0) == [range(before + 1, len(ALL) - HISTORY_EVENTS + 1)]
    assert entry.log.whole_from == len(ALL) - HISTORY_EVENTS + 1
    back = await ahead(session, 250, len(ALL))
    assert back.log.whole_from == len(ALL) - HISTORY_EVENTS + 1
