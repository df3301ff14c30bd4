"""Numbering from the reader's side: whatever is lost, doubled or late, what is shown has no hole and no repeat."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from radixdeck.console import feed_sync
from radixdeck.console.feed_sync import NodeEvents, NodeKeyframe, NodeSync
from radixdeck.daemon.wire import EventBatch, Keyframe
from radixdeck.policies.events import SessionEnded, encode
from radixdeck.policies.residency import RunState


def batch(first: int, count: int, run: str = "r1") -> EventBatch:
    events = [
        msgspec.Raw(encode(SessionEnded(t_ns=seq, session=f"{run}-{seq}"))) for seq in range(first, first + count)
    ]
    return EventBatch(run=run, first_seq=first, events=events)


def keyframe(seq: int, run: str = "r1") -> Keyframe:
    return Keyframe(run=run, seq=seq, t_ns=seq, state=RunState())


def test_events_wait_for_the_keyframe_and_follow_it() -> None:
    sync = NodeSync("n1")
    assert sync.on_batch(batch(4, 3)) is None
    assert sync.on_batch(batch(7, 2)) is None
    shown = sync.on_keyframe(keyframe(5))
    assert isinstance(shown[0], NodeKeyframe)
    assert [seq for part in shown[1:] if isinstance(part, NodeEvents) for seq, _ in part.events] == [6, 7, 8]
    assert not sync.lost


def test_a_keyframe_that_tells_nothing_new_is_not_shown() -> None:
    sync = NodeSync("n1")
    sync.on_keyframe(keyframe(5))
    sync.on_batch(batch(6, 4))
    assert sync.on_keyframe(keyframe(5)) == []
    assert sync.on_keyframe(keyframe(9)) == []
    assert len(sync.on_keyframe(keyframe(10))) == 1, "event 10 was lost and nothing came after it"


def test_a_new_run_needs_its_own_keyframe() -> None:
    sync = NodeSync("n1")
    sync.on_keyframe(keyframe(5))
    assert sync.on_batch(batch(6, 1, run="r2")) is None
    assert sync.lost
    assert sync.gaps == 0
    shown = sync.on_keyframe(keyframe(5, run="r2"))
    assert [type(part) for part in shown] == [NodeKeyframe, NodeEvents]


def test_unknown_and_broken_events_are_counted_and_keep_their_number() -> None:
    sync = NodeSync("n1")
    sync.on_keyframe(keyframe(0))
    raws = [
        b'{"k":"from_the_future","t_ns":1}',
        encode(SessionEnded(t_ns=1, session="s")),
        b'{"k":"session_ended"}',
        b"7",
    ]
    shown = sync.on_batch(EventBatch(run="r1", first_seq=1, events=[msgspec.Raw(raw) for raw in raws]))
    assert shown == NodeEvents("n1", "r1", 1, 4, [(2, SessionEnded(t_ns=1, session="s"))], unknown=3)
    assert sync.unknown == 3


def test_what_waits_is_bounded() -> None:
    sync = NodeSync("n1")
    for number in range(10):
        sync.on_batch(batch(number * 5_000, 5_000))
    shown = sync.on_keyframe(keyframe(30_000 - 1))
    assert sum(len(part.events) for part in shown if isinstance(part, NodeEvents)) == feed_sync.MAX_WAITING_EVENTS


def test_without_keyframes_it_starts_anywhere_and_goes_over_gaps() -> None:
    sync = NodeSync("n1", keyframes=False)
    shown = [sync.on_batch(batch(50, 2)), sync.on_batch(batch(60, 2)), sync.on_batch(batch(61, 2))]
    assert [(part.first_seq, part.last_seq) for part in shown if part] == [(50, 51), (60, 61), (62, 62)]
    assert sync.on_keyframe(keyframe(70)) == []
    assert sync.gaps == 1


arrivals = st.lists(
    st.tuples(
        st.sampled_from(["batch", "keyframe"]), st.integers(0, 40), st.integers(1, 6), st.sampled_from(["r1", "r2"])
    ),
    max_size=60,
)


@given(arrivals)
def test_whatever_arrives_what_is_shown_is_contiguous(arrived: list[tuple[str, int, int, str]]) -> None:
    sync, at = NodeSync("n1"), ("", -1)
    for kind, number, count, run in arrived:
        if kind == "keyframe":
            shown = sync.on_keyframe(keyframe(number, run))
        else:
            events = sync.on_batch(batch(number, count, run))
            shown = [events] if events else []
        for part in shown:
            if isinstance(part, NodeKeyframe):
                at = (part.keyframe.run, part.keyframe.seq)
                continue
            assert (part.run, part.first_seq - 1) == at
            assert [seq for seq, _ in part.events] == list(range(part.first_seq, part.last_seq + 1))
            assert all(event.t_ns == seq for seq, event in part.events)
            at = (part.run, part.last_seq)
