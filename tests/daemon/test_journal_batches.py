"""What of the journal goes out over MQTT: events in their order, nothing of what prompts say, no more than may wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from radixdeck.daemon.journal import Journal
from radixdeck.daemon.publishing import Publisher
from radixdeck.daemon.wire import EventBatch, Keyframe
from radixdeck.policies.events import AnyEvent, CacheFlushed, PrefixInserted, PrefixMatched, decode
from radixdeck.policies.host import PolicyHost
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

TAIL, OUTPUT = b"\1\2\3\4", b"\5\6\7\10"
MATCHED = PrefixMatched(t_ns=1, rid="r", agent="a", session="s", prompt_tokens=2, cached_tokens=0, tail=TAIL)
INSERTED = PrefixInserted(t_ns=2, rid="r", phase="finish", total_tokens=3, new_tokens=1, output=OUTPUT)


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Recorder]:
    made = Recorder(tmp_path / "run.db", RunInfo(run="r", node="n", started_ns=1, version="0", model="m", config={}))
    yield made
    await made.close()


def taken(journal: Journal, limit: int = 500) -> tuple[int, list[AnyEvent]]:
    """The next batch as a reader has it: the first number and the events."""
    payload = journal.take_batch(limit)
    assert payload is not None
    batch = msgspec.json.decode(payload, type=EventBatch)
    return batch.first_seq, [decode(raw) for raw in batch.events]


def flushed(count: int) -> list[AnyEvent]:
    return [CacheFlushed(t_ns=number) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("event", "published"),
    [(MATCHED, msgspec.structs.replace(MATCHED, tail=b"")), (INSERTED, msgspec.structs.replace(INSERTED, output=b""))],
)
async def test_hashes_of_prompts_and_outputs_are_recorded_and_not_published(
    recorder: Recorder, event: AnyEvent, published: AnyEvent
) -> None:
    journal = Journal("r", recorder)
    journal.append(event)
    assert taken(journal) == (1, [published])
    await recorder.close()
    with open_session(recorder.path) as session:
        assert session.events(0, 9) == [(1, event)]


async def test_of_too_many_that_wait_the_oldest_go_and_the_numbers_say_so(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.daemon.journal.MAX_UNSENT", 3)
    journal = Journal("r", recorder)
    for event in flushed(5):
        journal.append(event)
    assert taken(journal) == (3, flushed(5)[2:])
    assert journal.take_batch() is None


async def test_batches_go_on_where_the_last_one_ended(recorder: Recorder) -> None:
    journal = Journal("r", recorder)
    for event in flushed(5):
        journal.append(event)
    assert [taken(journal, limit=2) for _ in range(3)] == [
        (1, flushed(5)[:2]), (3, flushed(5)[2:4]), (5, flushed(5)[4:]),
    ]  # fmt: skip


async def test_a_keyframe_holds_what_waits_and_leaves_it_waiting(recorder: Recorder) -> None:
    journal = Journal("r", recorder)
    for event in (MATCHED, INSERTED):
        journal.append(event)
    frame = msgspec.json.decode(journal.keyframe(), type=Keyframe)
    assert (frame.run, frame.seq, frame.t_ns, frame.state) == ("r", 2, journal.state.t_ns, journal.state)
    assert taken(journal)[0] == 1


async def test_what_a_keyframe_holds_goes_out_before_it(recorder: Recorder) -> None:
    journal, host, sent = Journal("r", recorder), PolicyHost(["lru"]), list[str]()
    mqtt = cast("Any", SimpleNamespace(publish=lambda leaf, _payload, **_: sent.append(leaf)))
    journal.append(MATCHED)
    Publisher(mqtt, journal, lambda: host, recorder, ["lru"]).watch(resync=True)
    assert sent[:2] == ["events", "residency"]
