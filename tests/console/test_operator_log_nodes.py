"""What operators did to a node, whose number is another node's once the cache is a new one."""

from __future__ import annotations

import pytest
from operators import AFTER_NS, EVENTS, heard, newest

from radixdeck.console.operator_log import newest_of, standing, undo
from radixdeck.policies import events as ev
from radixdeck.policies.residency import fold


def on_node(kind: str, node: int, seconds: int = 0) -> ev.ActionTaken:
    return ev.ActionTaken(t_ns=AFTER_NS + seconds, id=kind, kind=kind, node=node, by="ann")  # type: ignore[arg-type]


def added(node: int, seconds: int = 1) -> ev.NodeAdded:
    return ev.NodeAdded(t_ns=AFTER_NS + seconds, node=node, parent=0, start=0, tokens=9)


STARTED = ev.EngineStarted(t_ns=AFTER_NS, pid=2, model="m", capacity_tokens=4000, page_size=1, policy="lru")


@pytest.mark.parametrize("ends", [STARTED, ev.CacheFlushed(t_ns=AFTER_NS)])
def test_an_action_on_a_node_ends_with_the_cache_whose_node_it_was(ends: ev.AnyEvent) -> None:
    """The next engine counts its nodes from the beginning: the number is another node's then."""
    log, run = heard(added(1700), on_node("unpin", 1700))
    done, known = newest(log, run)
    assert standing(done, run, known) == "in force"
    log, run = heard(added(1700), on_node("unpin", 1700), ends, added(1700, 2))
    done, known = newest(log, run)
    assert standing(done, run, known) == "over"
    assert undo(done, run, known)[0] is None


def test_an_action_on_a_node_holds_where_the_cache_is_told_anew() -> None:
    log, run = heard(
        added(1700), on_node("unpin", 1700), ev.CacheFlushed(t_ns=AFTER_NS, told_anew=True), added(1700, 2)
    )
    done, known = newest(log, run)
    assert standing(done, run, known) == "in force"
    assert undo(done, run, known)[0] is not None


def test_it_ends_too_where_the_start_of_the_next_engine_was_not_heard() -> None:
    log, run = heard(added(1700), on_node("pin", 1700))
    for event in (STARTED, added(1700, 2), on_node("pin", 1700, 3)):
        fold(run, event)
    listed = log.listed(run)
    known = newest_of(listed)
    assert [(done.by, standing(done, run, known)) for done in listed if done.node == 1700] == [
        ("ann", "over"),
        ("", "in force"),
    ]


def test_an_action_is_in_force_again_where_a_replay_went_back_before_the_end_of_the_cache() -> None:
    log, run = heard(added(1700), on_node("unpin", 1700))
    log.add(len(EVENTS) + 2, STARTED, None, None)
    log.forget_after(len(EVENTS) + 1)
    done, known = newest(log, run)
    assert standing(done, run, known) == "in force"
