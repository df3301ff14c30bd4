"""The text of anchors is in a recording that was begun for it, and in no other."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
from storage_samples import info, recorded, stream

from radixdeck.storage.anchor_text import MOST_CHARACTERS, AnchorText
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

FIRST = AnchorText("planner", "f1", 1_000, 40, "[system]\nYou plan.")
SECOND = AnchorText("planner", "f2", 2_000, 44, "[system]\nYou plan well.")


async def kept(path: Path, *texts: AnchorText, wanted: bool = True) -> Recorder:
    recorder = Recorder(path, msgspec.structs.replace(info(), prompts_stored=wanted))
    for seq, event in enumerate(stream(3), 1):
        recorder.record(seq, event)
    for text in texts:
        recorder.keep(text)
    await recorder.close()
    return recorder


async def test_each_version_comes_back_the_last_first(tmp_path: Path) -> None:
    recorder = await kept(tmp_path / "a.db", FIRST, SECOND, AnchorText("coder", "f3", 3_000, 9, "other"))
    assert (recorder.dropped, recorder.failed) == (0, "")
    with open_session(tmp_path / "a.db") as session:
        assert session.info.prompts_stored
        assert session.anchor_texts("planner") == [SECOND, FIRST]
        assert session.anchor_texts("nobody") == []
        assert len(session.events(0, 1_000)) == len(stream(3))


async def test_a_recording_that_was_not_begun_for_it_holds_none(tmp_path: Path) -> None:
    recorder = await kept(tmp_path / "a.db", FIRST, wanted=False)
    assert (recorder.dropped, recorder.failed) == (0, "")
    with open_session(tmp_path / "a.db") as session:
        assert len(session.events(0, 1_000)) == len(stream(3))
        assert not session.info.prompts_stored
        assert session.anchor_texts("planner") == []
    assert b"You plan" not in (tmp_path / "a.db").read_bytes()
    connection = sqlite3.connect(tmp_path / "a.db")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert "anchor_texts" not in tables


async def test_one_measured_again_replaces_itself(tmp_path: Path) -> None:
    await kept(tmp_path / "a.db", FIRST, AnchorText("planner", "f1", 9_000, 41, "[system]\nYou plan!"))
    with open_session(tmp_path / "a.db") as session:
        assert [text.tokens for text in session.anchor_texts("planner")] == [41]


async def test_text_that_cannot_be_stored_as_it_is_costs_nothing_else(tmp_path: Path) -> None:
    half = AnchorText("a", "f", 1, 1, "half \ud83d pair")
    long = AnchorText("b", "f", 1, 1, "x" * (MOST_CHARACTERS + 10))
    recorder = await kept(tmp_path / "a.db", half, long)
    assert recorder.dropped == 0
    with open_session(tmp_path / "a.db") as session:
        assert session.anchor_texts("a")[0].text == "half ? pair"
        cut = f"{'x' * MOST_CHARACTERS}\n[cut: {MOST_CHARACTERS + 10:,} characters]"
        assert session.anchor_texts("b")[0].text == cut


async def test_an_older_recording_has_none(tmp_path: Path) -> None:
    await recorded(tmp_path / "a.db", stream(3))
    with open_session(tmp_path / "a.db") as session:
        assert session.anchor_texts("planner") == []


async def test_one_told_while_the_file_cannot_be_written_waits(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", msgspec.structs.replace(info(), prompts_stored=True))
    for seq, event in enumerate(stream(3), 1):
        recorder.record(seq, event)
    other = sqlite3.connect(tmp_path / "a.db")
    other.execute("BEGIN IMMEDIATE")
    await recorder.flush()
    assert "cannot be written" in recorder.failed
    recorder.keep(FIRST)
    other.rollback()
    other.close()
    await recorder.flush()
    assert recorder.failed == ""
    await recorder.close()
    with open_session(tmp_path / "a.db") as session:
        assert session.anchor_texts("planner") == [FIRST]


async def test_one_told_after_the_end_is_refused(tmp_path: Path) -> None:
    recorder = await kept(tmp_path / "a.db", FIRST)
    recorder.keep(SECOND)
    assert recorder.backlog == 0


async def test_no_more_waits_than_is_kept(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", msgspec.structs.replace(info(), prompts_stored=True))
    recorder.keep(AnchorText("a", "f", 1, 1, "x" * 2 * MOST_CHARACTERS))
    (waiting,) = recorder._queue
    assert isinstance(waiting, AnchorText)
    assert len(waiting.text) < MOST_CHARACTERS + 40
    await recorder.close()
