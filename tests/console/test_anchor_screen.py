"""The text of an agent's anchor: all that is recorded of it, and in words why there is none."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
import pytest
from scenario import NODE, RUN, T0_NS, folded, run_events
from staging import (
    LARGE,
    SMALL,
    ScriptedFeed,
    console,
    drawn,
    in_words,
    keyframe,
    live_messages,
    screen_text,
    status,
    until,
)
from textual.strip import Strip

from radixdeck.console.anchor_words import NOT_KEPT, NOT_YET, read_texts
from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import NodeStatus
from radixdeck.console.screens.anchor import AnchorScreen
from radixdeck.console.widgets import text_scroll
from radixdeck.console.widgets.text_scroll import TextScroll, rows_of
from radixdeck.storage.anchor_text import AnchorText
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

LINES = [f"rule {number}: be\x1b[31m kind" for number in range(200)]
TEXT = AnchorText("planner", "0123456789abcdef", T0_NS, 1_556, "[system]\n" + "\n".join(LINES))
CRITICS = msgspec.structs.replace(TEXT, agent="critic")
"""Of the first agent in the table."""


async def run_with(path: Path, *texts: AnchorText, wanted: bool = True) -> Path:
    """A recording of the scenario."""
    info = RunInfo(run=RUN, node=NODE, started_ns=T0_NS, version="0.1.0", model="m", config={}, prompts_stored=wanted)
    recorder = Recorder(path, info)
    for seq, event in enumerate(run_events(), 1):
        recorder.record(seq, event)
    for text in texts:
        recorder.keep(text)
    await recorder.close()
    return path


def records_at(path: Path, node: str = NODE) -> NodeStatus:
    """A daemon says where."""
    return NodeStatus(node, msgspec.structs.replace(status(node=node).status, recording=str(path)))


def recorded_at(path: Path) -> ScriptedFeed:
    return ScriptedFeed([*live_messages(run_events()), records_at(path)])


async def test_it_is_read_to_its_end_and_copied_whole(tmp_path: Path) -> None:
    session = open_session(await run_with(tmp_path / "run.db", TEXT))
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        assert app.replay is not None
        app.replay.seek(session.last_ns)
        await until(pilot, lambda: "planner" in app.fleet.nodes[NODE].run.agents)
        await pilot.press("3", "slash", *"planner", "enter", "enter", "a")
        await until(pilot, lambda: isinstance(app.screen, AnchorScreen) and "rule 0" in app.screen.copied())
        page = await drawn(pilot)
        assert "version 0123456789ab, 1,556 tok" in page
        assert "rule 0: be" in page
        assert "rule 199" not in page
        await pilot.press("end")
        assert "rule 199: be�[31m kind" in await drawn(pilot), "what steers a terminal is only shown"
        await pilot.press("home", "pagedown", "j", "k")
        assert 0 < app.screen.query_one(TextScroll).scroll_offset.y < 100
        await pilot.press("y")
        await until(pilot, lambda: bool(app.clipboard))
        assert all(f"rule {number}: be" in app.clipboard for number in range(200))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, AnchorScreen))
    session.close()


async def test_what_is_not_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    assert read_texts(await run_with(tmp_path / "off.db", TEXT, wanted=False), "", "planner").why == NOT_KEPT
    assert read_texts(await run_with(tmp_path / "on.db", TEXT), "", "coder").why == NOT_YET
    assert read_texts(None, "elsewhere", "coder").why == "elsewhere"
    (tmp_path / "bad.db").write_bytes(b"no database at all, and longer than a header is" * 9)
    assert "not a SQLite file" in read_texts(tmp_path / "bad.db", "", "planner").why


async def test_a_live_console_reads_the_file_that_the_daemon_names(tmp_path: Path) -> None:
    path = await run_with(tmp_path / "off.db", wanted=False)
    for file, words in ((path, "record_anchors = true"), (tmp_path / "none.db", "not on this machine")):
        async with console(LARGE, recorded_at(file)) as pilot:
            await pilot.press("3", "enter", "a")
            screen = pilot.app.screen
            assert isinstance(screen, AnchorScreen)
            await until(pilot, lambda screen=screen: bool(screen.copied().partition("\n\n")[2]))
            assert words in in_words(await drawn(pilot))


async def test_under_another_daemons_heading_stands_its_own_text(tmp_path: Path) -> None:
    first = await run_with(tmp_path / "first.db", TEXT)
    second = await run_with(tmp_path / "second.db", msgspec.structs.replace(TEXT, text="as the other one has it"))
    said = [records_at(first), records_at(second, "box-2")]
    feed = ScriptedFeed([*live_messages(run_events()), keyframe(folded(run_events()), 1, node="box-2"), *said])
    async with console(LARGE, feed) as pilot:
        await pilot.press("3", "slash", *"planner", "enter", "enter", "a")
        screen = pilot.app.screen
        assert isinstance(screen, AnchorScreen)
        await until(pilot, lambda: "rule 199" in screen.copied())
        await pilot.press("right_parenthesis")
        await until(pilot, lambda: "as the other one has it" in screen.copied())
        assert "rule 0" not in screen.copied()
        assert "rule 0" not in await drawn(pilot)
        await pilot.press("left_parenthesis")
        await until(pilot, lambda: "rule 199" in screen.copied())


@pytest.mark.parametrize("key", ["X", "ctrl+s"])
async def test_only_its_owner_can_read_what_is_written_of_it(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = recorded_at(await run_with(tmp_path / "run.db", CRITICS))
    written = tmp_path / "written"
    written.mkdir()
    monkeypatch.chdir(written)
    before = os.umask(0o022)
    try:
        async with console(LARGE, feed) as pilot:
            await pilot.press("3", "X", "enter", "a")
            screen = pilot.app.screen
            assert isinstance(screen, AnchorScreen)
            await until(pilot, lambda: "rule 199" in screen.copied())
            await drawn(pilot)
            await pilot.press(key)
            await drawn(pilot)
    finally:
        os.umask(before)
    table, text = sorted(written.iterdir(), key=lambda path: "rule" in path.read_text())
    assert "rule" in text.read_text().replace("&#160;", " ")
    assert (table.stat().st_mode & 0o777, text.stat().st_mode & 0o777) == (0o644, 0o600)


async def test_of_a_long_text_only_what_is_in_sight_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """About as long as one is kept."""
    text = "\n".join(f"line {number} " + "word " * 60 for number in range(3_300))
    feed = recorded_at(await run_with(tmp_path / "run.db", msgspec.structs.replace(CRITICS, text=text)))
    folded_by: list[threading.Thread] = []
    drawn_rows: list[int] = []
    draw = TextScroll.render_line

    def fold(text: str, width: int) -> list[str]:
        folded_by.extend([threading.current_thread()] if len(text) > 1_000_000 else [])
        return rows_of(text, width)

    def counted(scroll: TextScroll, y: int) -> Strip:
        drawn_rows.append(y)
        return draw(scroll, y)

    monkeypatch.setattr(text_scroll, "rows_of", fold)
    monkeypatch.setattr(TextScroll, "render_line", counted)
    async with console(SMALL, feed) as pilot:
        await pilot.press("3", "enter", "a")
        await until(pilot, lambda: "line 1 word" in screen_text(pilot.app))
        assert threading.main_thread() not in folded_by, "keys work meanwhile"
        drawn_rows.clear()
        await pilot.press("end")
        await until(pilot, lambda: "line 3299 word" in screen_text(pilot.app))
        assert 0 < len(drawn_rows) < 20 * SMALL[1]
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "line 3299 word" in screen_text(pilot.app) and len(set(drawn_rows)) > 20)


@pytest.mark.parametrize(
    ("text", "width", "rows"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("one two", 7, ["one two"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("    abcdefgh", 6, ["    ab", "cdefgh"]),
        ("a\n\nb", 4, ["a", "", "b"]),
        ("漢字漢字", 5, ["漢字", "漢字"]),
        ("漢字", 1, ["漢", "字"]),
        ("four ", 4, ["four"]),
        ("", 4, [""]),
    ],
)
def test_rows_break_between_words_where_there_are_any(text: str, width: int, rows: list[str]) -> None:
    assert rows_of(text, width) == rows


async def test_no_row_ends_under_the_scrollbar(tmp_path: Path) -> None:
    text = msgspec.structs.replace(CRITICS, text="abcd " * 900)
    async with console(SMALL, recorded_at(await run_with(tmp_path / "run.db", text))) as pilot:
        await pilot.press("3", "enter", "a")
        await until(pilot, lambda: "abcd abcd" in screen_text(pilot.app))
        await drawn(pilot)
        scroll = pilot.app.screen.query_one(TextScroll)
        assert scroll.show_vertical_scrollbar
        assert scroll.virtual_size.width == scroll.scrollable_content_region.width
