"""The policies of a recording think again what they thought, wherever the reader goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario import folded, run_events
from staging import recorded

from radixdeck.console import twin as twin_module
from radixdeck.console.twin import Twin
from radixdeck.daemon.wire import PoliciesTable
from radixdeck.policies import events as e
from radixdeck.policies.events import AnyEvent

EVENTS = run_events()


def at(twin: Twin, seq: int, events: list[AnyEvent] = EVENTS) -> PoliciesTable | None:
    """The table after event `seq`, however many slices that takes."""
    slices = 0
    while twin.is_behind(seq):
        twin.follow(seq)
        slices += 1
        assert slices < 1000
    return twin.table(folded(events[:seq]), events[seq - 1].t_ns)


async def test_back_and_forth_gives_what_going_there_at_once_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twin_module, "SLICE_EVENTS", 7)
    session = await recorded(tmp_path / "run.db", EVENTS)
    wanderer = Twin(session)
    for seq in (50, 300, 120, 121, len(EVENTS)):
        table = at(wanderer, seq)
        assert table == at(Twin(session), seq)
        assert table is not None
        assert table.scores
    session.close()


async def test_a_long_way_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the last MAX_EVENTS, with the switches that were in force where they begin."""
    monkeypatch.setattr(twin_module, "MAX_EVENTS", 20)
    session = await recorded(tmp_path / "run.db", EVENTS)
    table = at(Twin(session), len(EVENTS))
    assert table is not None
    assert {policy.name for policy in table.policies if policy.enabled} == {"kv_caching", "operator"}
    assert table.dispatches < sum(isinstance(event, e.PrefixMatched) for event in EVENTS)
    session.close()


async def test_it_begins_where_the_engine_last_started(tmp_path: Path) -> None:
    again = [*EVENTS, e.EngineLost(t_ns=EVENTS[-1].t_ns, reason="killed", retry_in_s=1.0), *EVENTS]
    session = await recorded(tmp_path / "run.db", again)
    table = at(Twin(session), len(again), again)
    fresh = at(Twin(session), len(EVENTS), again)
    assert table is not None
    assert fresh is not None
    assert (table.dispatches, table.survival) == (fresh.dispatches, fresh.survival)
    session.close()


async def test_a_policy_that_is_not_installed_leaves_nothing_to_say(tmp_path: Path) -> None:
    odd = [e.PolicySwitched(t_ns=EVENTS[0].t_ns, policy="elsewhere", enabled=True), *EVENTS]
    session = await recorded(tmp_path / "run.db", odd)
    assert at(Twin(session), 10, odd) is None
    session.close()
