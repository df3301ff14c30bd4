"""A run that outgrows its file goes on in another one, and each of them can be read alone."""

from __future__ import annotations

import errno
import itertools
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from several_files import LIMIT, files_in, recorded_on
from storage_samples import folded, info, stream

from radixdeck.policies import events as ev
from radixdeck.policies.host import HOST
from radixdeck.policies.residency import RunState
from radixdeck.storage import next_file, writer
from radixdeck.storage.anchor_text import AnchorText
from radixdeck.storage.errors import RecordingError
from radixdeck.storage.files import size_bytes
from radixdeck.storage.next_file import CONTINUES
from radixdeck.storage.recorded import Recorded
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import AS_IT_WAS, what_if

HASHES = np.arange(1_000, 21_000, dtype="<u4")


def told_against(count: int) -> list[ev.AnyEvent]:
    """Requests of one session, each told as what it adds to the one before."""
    now = info().started_ns
    events: list[ev.AnyEvent] = [
        ev.EngineStarted(t_ns=now, pid=1, model="m", capacity_tokens=2400, page_size=1, policy="lru")
    ]
    for number in range(count):
        size, base = 10 * number + 10, f"r{number - 1}" if number else ""
        who = {"rid": f"r{number}", "agent": "a", "session": "s"}
        tail = HASHES[size - 10 : size].tobytes()
        found = {"prompt_tokens": size, "cached_tokens": size - 10, "base_rid": base, "base_tokens": size - 10}
        inserted = {"rid": f"r{number}", "total_tokens": size, "new_tokens": 10}
        now += 1_000_000_000
        events += [
            ev.RequestArrived(t_ns=now, **who),
            ev.PrefixMatched(t_ns=now, node=1, tail=tail, **who, **found),
            ev.PrefixInserted(t_ns=now, phase="prompt", **inserted),
            ev.PrefixInserted(t_ns=now, phase="finish", **inserted),
            ev.RequestFinished(t_ns=now, status=200, finish="stop", latency_s=0.5, **who),
        ]
    return events


async def test_a_full_file_is_followed_by_another_and_nothing_is_lost(tmp_path: Path) -> None:
    events = stream(400)
    recorder, files = await recorded_on(tmp_path, events, info())
    assert (recorder.dropped, recorder.failed) == (0, "")
    assert len(files) > 2
    assert recorder.path == files[-1]
    kept: list[tuple[int, ev.AnyEvent]] = []
    for path in files:
        with open_session(path) as session:
            kept += session.events(0, 10_000)
            assert session.ended
            assert session.info.run == info().run
    assert kept == list(enumerate(events, 1))


async def test_a_file_that_begins_within_a_run_holds_the_whole_state(tmp_path: Path) -> None:
    events = stream(400)
    _, files = await recorded_on(tmp_path, events, info())
    for before, path in itertools.pairwise(files):
        with open_session(path) as session:
            first = session.first_seq
            assert session.keyframes(0, first - 1) == [first - 1]
            assert session.info.config[CONTINUES] == before.name
            for seq in (first - 1, first, (first + session.last_seq) // 2, session.last_seq):
                assert session.state_after(seq) == folded(events[:seq])
            assert session.state_at(session.last_ns) == (session.last_seq, folded(events[: session.last_seq]))
        with sqlite3.connect(before) as connection:
            assert connection.execute("SELECT ended_why FROM runs").fetchone() == (f"goes on in {path.name}",)


async def test_prompts_told_against_those_in_the_file_before_are_told_whole(tmp_path: Path) -> None:
    events = told_against(600)
    recorder, files = await recorded_on(tmp_path, events, info(), every=20)
    assert recorder.failed == ""
    assert len(files) > 2
    whole = [event.prompt_tokens for event in events if isinstance(event, ev.PrefixMatched)]
    found: list[int] = []
    for path in files:
        with open_session(path) as session:
            requests = session.requests()
            assert session.skipped == 0
            assert all((request.hashes == HASHES[: len(request.hashes)]).all() for request in requests)
            found += [request.prompt_tokens for request in requests]
    # The requests that a file ends within begin in it; what is told of them later is in the next one.
    assert found == whole


async def test_the_requests_of_a_later_file_run_again_in_a_what_if(tmp_path: Path) -> None:
    _, files = await recorded_on(tmp_path, told_against(600), info(), every=20)
    with open_session(files[1]) as session:
        outcome = what_if(Recorded(session), "lru", 5_000)
        assert outcome.incomplete == 0
        assert outcome.requests == len(session.requests()) > 5


async def test_a_what_if_of_a_later_file_knows_the_engine_that_started_in_an_earlier_one(tmp_path: Path) -> None:
    events = told_against(600)
    assert isinstance(events[0], ev.EngineStarted)
    events[0] = msgspec.structs.replace(events[0], page_size=64)
    _, files = await recorded_on(tmp_path, events, info(), every=20)
    with open_session(files[1]) as session:
        recorded = Recorded(session)
        assert (recorded.sizes, recorded.policy) == ([2400], "lru")
        outcome = what_if(recorded, "lru", times=1.0)
        assert (outcome.kv_tokens, outcome.incomplete, outcome.failures) == (2400, 0, [])
        assert outcome.cached_tokens > 0
        assert all(tokens % 64 == 0 for tokens in outcome.cached_by_request.values())
        assert outcome.cached_by_request == what_if(recorded, AS_IT_WAS).cached_by_request


async def test_orders_of_an_earlier_file_are_in_force_in_a_what_if_of_a_later_one(tmp_path: Path) -> None:
    events = told_against(600)
    assert isinstance(events[0], ev.EngineStarted)
    events[0] = msgspec.structs.replace(events[0], replicas=2)
    now = events[0].t_ns
    events[1:1] = [
        ev.PolicySwitched(t_ns=now, policy="kv_caching", enabled=True, by="console"),
        ev.PolicySwitched(t_ns=now, policy="lru", enabled=False, by=HOST),
        ev.PolicySwitched(t_ns=now, policy="fairness", enabled=True, by="console"),
        ev.TunableChanged(t_ns=now, policy="operator", name="half_life_s", value=77.0, by="console"),
    ]
    _, files = await recorded_on(tmp_path, events, info(), every=20)
    with open_session(files[1]) as session:
        recorded = Recorded(session)
        assert recorded.policy == "kv_caching"
        assert recorded.beside() == ("fairness",)
        told: list[ev.EngineEvent] = []
        what_if(recorded, AS_IT_WAS, take=told.append)
        started, tuned = told[:2]
        assert isinstance(started, ev.EngineStarted)
        assert isinstance(tuned, ev.TunableChanged)
        assert (started.policy, started.capacity_tokens, started.replicas) == ("kv_caching", 2400, 2)
        assert (tuned.policy, tuned.name, tuned.value) == ("operator", "half_life_s", 77.0)


async def test_texts_of_anchors_go_along(tmp_path: Path) -> None:
    about = msgspec.structs.replace(info(), prompts_stored=True)
    text = AnchorText("a", "f", 1, 3, "You are a planner.")
    _, files = await recorded_on(tmp_path, stream(200), about, texts=[text])
    with open_session(files[-1]) as session:
        assert session.anchor_texts("a") == [text]


async def test_a_run_that_ends_with_a_full_file_leaves_no_empty_one(tmp_path: Path) -> None:
    recorder, state = Recorder(tmp_path / "0.db", info(), goes_on=lambda _: None), RunState()
    recorder.max_bytes = size_bytes(recorder.path)
    recorder.record(1, stream(1)[0])
    await recorder.flush()
    assert recorder.wants_keyframe
    recorder.keyframe(1, state)
    assert not recorder.wants_keyframe
    await recorder.close()
    assert files_in(tmp_path) == [tmp_path / "0.db"]
    with open_session(recorder.path) as session:
        assert session.keyframes(0, 1) == [1]


def refuse(_writer: object, _info: object, _item: object) -> None:
    raise RecordingError("the folder cannot be written")


async def test_where_no_other_file_can_be_begun_the_present_one_grows_to_twice_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.storage.recorder.begin_next", refuse)
    recorder, files = await recorded_on(tmp_path, stream(1_000), info())
    assert len(files) == 1
    limit = (
        f"its limit of {LIMIT:,} bytes, and no other file could be begun: the folder cannot be written; recording st"
    )
    assert limit in recorder.failed
    assert recorder.dropped > 0
    with open_session(files[0]) as session:
        assert isinstance(session.events(0, 10_000)[-1][1], ev.EventsDropped)


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), OSError(errno.EMFILE, "too many files")])
@pytest.mark.parametrize("breaks", [(next_file, "_texts"), (writer, "migrate")])
@pytest.mark.parametrize(("after_s", "files"), [(0.0, 2), (1e9, 1)])
async def test_a_file_that_could_not_be_begun_is_tried_again_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_s: float, files: int, breaks: Any, error: Exception
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("radixdeck.storage.recorder.NEXT_FILE_RETRY_S", after_s)
    about = msgspec.structs.replace(info(), prompts_stored=True)
    recorder, state = Recorder(tmp_path / "0.db", about, goes_on=lambda _: None), RunState()
    events = stream(30)
    seqs = iter(range(1, len(events) + 1))

    async def turn() -> None:
        """A keyframe, an event behind it, and both on the disk."""
        recorder.keyframe(seq := next(seqs), state)
        recorder.record(seq, events[seq - 1])
        await recorder.flush()

    await turn()
    recorder.max_bytes = size_bytes(recorder.path) - 1
    with monkeypatch.context() as broken:
        broken.setattr(*breaks, fail)
        await turn()
        await turn()
    assert files_in(tmp_path) == [tmp_path / "0.db"]
    recorder.max_bytes = size_bytes(recorder.path) - 1
    for _ in range(3):
        await turn()
    await recorder.close()
    assert (recorder.dropped, recorder.failed) == (0, "")
    assert len(files_in(tmp_path)) == files
