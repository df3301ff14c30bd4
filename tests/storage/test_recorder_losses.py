"""What cannot be kept is counted once, and holds up nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest
from storage_samples import info, stream

from radixdeck.policies import events as ev
from radixdeck.storage import recorder as recorder_module
from radixdeck.storage.files import parts_of
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session
from radixdeck.storage.writer import Item, Writer

EVENTS = stream(5)
PRAGMA_SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL"}


async def test_what_was_lost_before_recording_stopped_is_not_lost_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_BACKLOG", 3)
    recorder = Recorder(tmp_path / "a.db", info())
    for seq, event in enumerate(EVENTS[:5], 1):
        recorder.record(seq, event)
    assert recorder.dropped == 2, "there was no room for them"
    for part in parts_of(recorder.path):
        part.unlink(missing_ok=True)
    await recorder.flush()
    assert "was deleted" in recorder.failed
    assert recorder.dropped == 5
    await recorder.close()
    assert recorder.dropped == 5


async def test_one_in_whose_place_nothing_can_stand_is_counted_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, tries = Writer.write, itertools.count()

    def tried(writer: Writer, items: Iterable[Item]) -> None:
        assert next(tries) < 100, "a thread that tries for ever could not be stopped"
        write(writer, items)

    monkeypatch.setattr(Writer, "write", tried)
    recorder = Recorder(tmp_path / "a.db", info())
    recorder.record(1, EVENTS[0])
    recorder.record(1 << 63, EVENTS[1])  # no number for SQLite
    await recorder.flush()
    assert (recorder.backlog, recorder.dropped, recorder.failed) == (0, 1, "")
    await recorder.close()
    with open_session(recorder.path) as session:
        assert session.events(0, 10) == [(1, EVENTS[0])]


@pytest.mark.parametrize(
    ("event", "how"),
    [
        (ev.CommandReceived(t_ns=1, id="c", name="flush", by="ann", ok=True), "FULL"),
        (ev.ActionTaken(t_ns=1, id="a", kind="pin", agent="a"), "FULL"),
        (ev.CacheFlushed(t_ns=1), "NORMAL"),
    ],
)
async def test_what_somebody_ordered_survives_a_loss_of_power(tmp_path: Path, event: ev.AnyEvent, how: str) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    recorder.record(1, event)
    await recorder.flush()
    ((level,),) = recorder._writer._db.conn.execute("PRAGMA synchronous").fetchall()
    assert PRAGMA_SYNCHRONOUS[level] == how
    await recorder.close()
