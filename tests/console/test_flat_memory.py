"""Hours of events leave no more behind than the bounds of what is kept: a console is open all day."""

from __future__ import annotations

import gc
import sys
from itertools import islice

from staging import NODE

from radixdeck.console.feed_messages import Connection, NodeEvents, NodeKeyframe
from radixdeck.console.fleet_state import FleetState
from radixdeck.console.per_second import FARTHEST, MAX_SECONDS, PerSecond
from radixdeck.daemon.wire import Keyframe
from radixdeck.demos.synthetic import SyntheticRun
from radixdeck.policies.residency import RunState, fold

S = 1_000_000_000
STEP_NS = 2 * S
REQUESTS = 2_500
"""At STEP_NS each, longer than the hour that is kept of anything."""


class Hours:
    """A fleet of one daemon that is told more and more."""

    def __init__(self) -> None:
        run, state = SyntheticRun(100), RunState()
        for event in run.begin(S):
            fold(state, event)
        self._requests, self._seq = run.requests(2 * S, STEP_NS), 0
        self.fleet = FleetState()
        self.fleet.apply(Connection(True))
        self.fleet.apply(NodeKeyframe(NODE, Keyframe(run="r", seq=0, t_ns=S, state=state)))

    def blocks_after(self, requests: int) -> int:
        """How many blocks of memory Python has given out when so many more have come."""
        for made in islice(self._requests, requests):
            numbered = list(enumerate(made, self._seq + 1))
            self._seq += len(made)
            self.fleet.apply(NodeEvents(NODE, "r", numbered[0][0], self._seq, numbered))
            self.fleet.nodes[NODE].flashes.forget(made[-1].t_ns)
        gc.collect()
        return sys.getallocatedblocks()


def test_what_a_console_holds_does_not_grow_with_the_events() -> None:
    hours = Hours()
    hours.blocks_after(REQUESTS)
    before = hours.blocks_after(REQUESTS)
    after = hours.blocks_after(REQUESTS)
    assert abs(after - before) < REQUESTS / 2


def test_of_each_second_one_number_is_kept_and_the_oldest_goes() -> None:
    seconds = PerSecond()
    for second in range(MAX_SECONDS + 5):
        for _ in range(1 + second % 3):
            seconds.add(second)
    assert len(seconds) == MAX_SECONDS
    assert dict(seconds.items()) == {second: 1 + second % 3 for second in range(5, MAX_SECONDS + 5)}
    seconds.clear()
    assert not len(seconds)


def test_a_second_that_comes_late_is_counted_where_it_belongs() -> None:
    seconds = PerSecond()
    for second in (7, 8, 7, 9, 8, -3):
        seconds.add(second)
    assert list(seconds.items()) == [(7, 2), (8, 2), (9, 1), (-3, 1)]


def test_a_second_that_no_clock_can_tell_is_passed_over() -> None:
    seconds = PerSecond()
    for second in (FARTHEST + 1, -FARTHEST - 1, 10**40, 5):
        seconds.add(second)
    assert list(seconds.items()) == [(5, 1)]
