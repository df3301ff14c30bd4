"""Messages in, state out: keyframes, batches, gaps, restarts and lost connections."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from scenario import NODE, RUN, T0_NS, folded, run_events
from staging import batch, keyframe, policies, status

from radixdeck.console.event_log import MAX_LINES, EventLog
from radixdeck.console.feed_messages import (
    Connection,
    NodeCleared,
    NodeEvents,
    NodeKeyframe,
    NodeMetrics,
    NodePolicies,
)
from radixdeck.console.fleet_state import FleetState
from radixdeck.console.rates import hit_series, rates, survival
from radixdeck.daemon.wire import Keyframe, Metrics
from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState

EVENTS = run_events()


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(clock: Clock) -> FleetState:
    made = FleetState(clock)
    made.apply(Connection(True))
    return made


def test_a_node_that_is_gone_for_good_is_dropped_and_one_that_is_there_is_not(fleet: FleetState) -> None:
    fleet.apply(status())
    fleet.apply(NodeCleared(NODE))
    assert NODE in fleet.nodes
    fleet.apply(status("offline", online=False))
    fleet.apply(NodeCleared(NODE))
    fleet.apply(NodeCleared("never heard of"))
    assert fleet.nodes == {}


def test_joining_late_gives_the_same_state_as_from_the_start(fleet: FleetState) -> None:
    fleet.apply(keyframe(folded(EVENTS[:300]), 300))
    fleet.apply(batch(EVENTS[300:], 301))
    assert fleet.nodes[NODE].run == folded(EVENTS)
    assert fleet.nodes[NODE].seq == len(EVENTS)


def test_what_the_keyframe_contains_is_logged_but_not_folded_again(fleet: FleetState) -> None:
    fleet.apply(keyframe(folded(EVENTS[:300]), 300))
    fleet.apply(batch(EVENTS[250:], 251))
    entry = fleet.nodes[NODE]
    assert entry.run == folded(EVENTS)
    assert len(entry.log) == len(EVENTS) - 250


def test_events_before_any_keyframe_or_of_another_run_change_nothing(fleet: FleetState) -> None:
    fleet.apply(batch(EVENTS[:10], 1))
    assert fleet.nodes[NODE].run == RunState()
    fleet.apply(keyframe(folded(EVENTS[:300]), 300))
    fleet.apply(NodeEvents(NODE, "another run", 301, 320, list(enumerate(EVENTS[300:320], 301))))
    entry = fleet.nodes[NODE]
    assert entry.run == folded(EVENTS[:300]) != folded(EVENTS[:320])
    assert (entry.seq, len(entry.log)) == (300, 0)


def test_a_new_run_starts_with_an_empty_log(fleet: FleetState) -> None:
    fleet.apply(keyframe(RunState(), 0))
    fleet.apply(batch(EVENTS, 1))
    fleet.apply(NodeKeyframe(NODE, Keyframe(run="next", seq=0, t_ns=1, state=RunState())))
    assert len(fleet.nodes[NODE].log) == 0
    assert fleet.nodes[NODE].run_id == "next"


def test_a_newer_keyframe_keeps_the_log_and_a_seek_back_does_not(fleet: FleetState) -> None:
    fleet.apply(keyframe(RunState(), 0))
    fleet.apply(batch(EVENTS[:100], 1))
    fleet.apply(keyframe(folded(EVENTS[:200]), 200))
    assert len(fleet.nodes[NODE].log) == 100
    fleet.apply(keyframe(folded(EVENTS[:50]), 50))
    assert len(fleet.nodes[NODE].log) == 0


def test_unknown_kinds_are_counted(fleet: FleetState) -> None:
    fleet.apply(keyframe(RunState(), 0))
    fleet.apply(NodeEvents(NODE, RUN, 1, 3, [(1, EVENTS[0])], unknown=2))
    assert (fleet.nodes[NODE].unknown_events, fleet.nodes[NODE].seq) == (2, 3)


def test_a_lost_connection_keeps_what_was_seen_and_says_for_how_long(fleet: FleetState, clock: Clock) -> None:
    fleet.apply(keyframe(folded(EVENTS), len(EVENTS)))
    fleet.apply(Connection(False, "refused"))
    clock.now_s += 12
    assert fleet.lost_s == 12
    assert fleet.nodes[NODE].run.agents
    assert fleet.now_ns(fleet.nodes[NODE]) == fleet.nodes[NODE].run.t_ns
    fleet.apply(Connection(True))
    assert fleet.lost_s == 0


def test_a_connection_that_is_tried_again_in_vain_is_lost_since_it_was_first(fleet: FleetState, clock: Clock) -> None:
    fleet.apply(Connection(False, "refused"))
    clock.now_s += 12
    fleet.apply(Connection(False, "refused again"))
    clock.now_s += 3
    assert (fleet.lost_s, fleet.why_lost) == (15, "refused again")


def test_the_event_clock_goes_on_between_events(fleet: FleetState, clock: Clock) -> None:
    fleet.apply(keyframe(folded(EVENTS), len(EVENTS)))
    entry = fleet.nodes[NODE]
    clock.now_s += 5
    assert fleet.now_ns(entry) == entry.run.t_ns + 5_000_000_000


HOURS_NS = 7_200_000_000_000


def asked(t_ns: int) -> e.AnyEvent:
    return e.RequestArrived(t_ns=t_ns, rid="after the rest", agent="planner", session="s")


def test_what_an_idle_daemon_did_hours_ago_is_not_shown_as_now(fleet: FleetState, clock: Clock) -> None:
    fleet.apply(keyframe(folded(EVENTS), len(EVENTS)))
    entry = fleet.nodes[NODE]
    last_ns = entry.run.t_ns
    fleet.apply(NodeMetrics(NODE, Metrics(t_ns=last_ns + HOURS_NS)))
    assert rates(entry.run, fleet.now_ns(entry)).requests_per_s == 0
    clock.now_s += 1
    assert fleet.now_ns(entry) == last_ns + HOURS_NS + 1_000_000_000
    fleet.apply(batch([asked(last_ns + HOURS_NS + 1_000_000_000)], len(EVENTS) + 1))
    assert (entry.clock_jumps, fleet.now_ns(entry)) == (0, last_ns + HOURS_NS + 1_000_000_000)


def test_the_first_event_after_a_rest_is_no_jump_where_no_numbers_told_the_time(fleet: FleetState) -> None:
    fleet.apply(keyframe(folded(EVENTS), len(EVENTS)))
    entry = fleet.nodes[NODE]
    rested_ns = entry.run.t_ns + HOURS_NS
    fleet.apply(batch([asked(rested_ns)], len(EVENTS) + 1))
    assert entry.clock_jumps == 0
    fleet.apply(batch([asked(rested_ns + HOURS_NS)], len(EVENTS) + 2))
    assert (entry.clock_jumps, entry.clock_jump_s) == (1, 7200.0)


def test_a_clock_that_jumps_ahead_is_told_once_whether_numbers_or_events_say_so_first(fleet: FleetState) -> None:
    fleet.apply(keyframe(folded(EVENTS), len(EVENTS)))
    entry = fleet.nodes[NODE]
    last_ns = entry.run.t_ns
    fleet.apply(NodeMetrics(NODE, Metrics(t_ns=last_ns)))
    fleet.apply(NodeMetrics(NODE, Metrics(t_ns=last_ns + HOURS_NS)))
    fleet.apply(batch([asked(last_ns + HOURS_NS)], len(EVENTS) + 1))
    assert entry.clock_jumps == 1
    fleet.apply(batch([asked(last_ns + 2 * HOURS_NS)], len(EVENTS) + 2))
    fleet.apply(NodeMetrics(NODE, Metrics(t_ns=last_ns + 2 * HOURS_NS)))
    assert entry.clock_jumps == 2


def test_a_clock_may_be_ahead_by_less_than_a_minute(fleet: FleetState) -> None:
    fleet.apply(keyframe(folded(EVENTS), len(EVENTS)))
    entry, second_ns = fleet.nodes[NODE], 1_000_000_000
    first_ns = entry.run.t_ns
    for ahead_s, jumps in ((0, 0), (59, 0), (59 + 60, 1)):
        fleet.apply(NodeMetrics(NODE, Metrics(t_ns=first_ns + ahead_s * second_ns)))
        assert entry.clock_jumps == jumps


def test_in_a_replay_no_clock_jumps_however_far_apart_events_are(clock: Clock) -> None:
    replay = FleetState(clock, event_clock=lambda: 5)
    replay.apply(Connection(True))
    replay.apply(keyframe(folded(EVENTS), len(EVENTS)))
    for number in (1, 2):
        replay.apply(batch([asked(EVENTS[-1].t_ns + number * HOURS_NS)], len(EVENTS) + number))
    assert replay.nodes[NODE].clock_jumps == 0


def test_two_daemons_are_kept_apart(fleet: FleetState) -> None:
    fleet.apply(status())
    fleet.apply(status("failed", node="box-2"))
    fleet.apply(NodePolicies("box-2", policies()))
    assert fleet.nodes[NODE].table is None
    assert fleet.nodes["box-2"].status is not None


def test_rates_fade_when_nothing_is_asked() -> None:
    run = folded(EVENTS)
    assert rates(run, run.t_ns).requests_per_s > 0
    later = rates(run, run.t_ns + 60_000_000_000)
    assert later == (None, 0.0, None)
    assert any(value is not None for value in hit_series(run, run.t_ns, 20, 2.0))


def test_survival_follows_transitions_of_live_sessions_only() -> None:
    events: list[e.AnyEvent] = []
    for step, agent in enumerate(["a", "b", "a", "b", "a"]):
        t_ns = T0_NS + step * 1_000_000_000
        events.append(
            e.PrefixMatched(t_ns=t_ns, rid=f"r{step}", agent=agent, session="s", prompt_tokens=9, cached_tokens=0)
        )
    run = folded(events)
    now = survival(run, run.t_ns)
    assert now["b"] == pytest.approx(1.0)
    assert survival(run, run.t_ns + 600_000_000_000) == {"a": 0.0, "b": 0.0}


def test_the_log_is_bounded_and_numbers_only_rise() -> None:
    log = EventLog()
    for seq in range(MAX_LINES + 10):
        log.add(seq, EVENTS[0], "words")
    log.add(5, EVENTS[0], "old news")
    assert len(log) == MAX_LINES
    assert log.last_seq == MAX_LINES + 9


def test_nothing_in_the_log_can_steer_a_terminal() -> None:
    log = EventLog()
    log.add(1, EVENTS[0], "red \x1b[31m and\r\nmore")
    assert next(iter(log)).text == "red �[31m and��more"


def test_the_log_filters_by_words_and_by_kind(fleet: FleetState) -> None:
    fleet.apply(keyframe(RunState(), 0))
    fleet.apply(batch(EVENTS, 1))
    log = fleet.nodes[NODE].log
    evicted = log.select("node_evicted", routine=False)
    assert len(evicted) == fleet.nodes[NODE].run.totals.evictions
    assert {line.kind for line in log.select("", routine=False)}.isdisjoint({"engine_load_sampled", "node_split"})
    assert log.select("engine_load_sampled", routine=False)
    assert log.select("no such words anywhere", routine=True) == []
    assert sum(log.density(T0_NS - 10**9, EVENTS[-1].t_ns + 10**9, 50)) == len(log)


def test_a_search_finds_routine_lines_by_their_kind_only() -> None:
    """Else what is looked for would be lost among what comes with every request."""
    log = EventLog()
    log.add(1, e.NodeAdded(t_ns=1, node=1, parent=0, start=0, tokens=1), "planner keeps 1 token")
    log.add(2, e.CacheFlushed(t_ns=2), "planner flushed it")
    assert [line.seq for line in log.select("planner", routine=False)] == [2]
    assert [line.seq for line in log.select("node_added", routine=False)] == [1]
    assert [line.seq for line in log.select("planner", routine=True)] == [1, 2]
