"""The text of an agent's anchor: all that is recorded of it, and in words why there is none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from scenario import NODE, RUN, T0_NS, run_events
from staging import LARGE, SMALL, ScriptedFeed, console, drawn, live_messages, status, until

from radixdeck.console.anchor_words import NOT_KEPT, NOT_YET, read_texts
from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import NodeStatus
from radixdeck.console.screens.anchor import AnchorScreen, TextScroll
from radixdeck.storage.anchor_text import AnchorText
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

LINES = [f"rule {number}: be\x1b[31m kind" for number in range(200)]
TEXT = AnchorText("planner", "0123456789abcdef", T0_NS, 1_556, "[system]\n" + "\n".join(LINES))


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


async def test_it_is_read_to_its_end_and_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []

    def take(app: ConsoleApp, text: str) -> None:
        copied.append(text)

    monkeypatch.setattr(ConsoleApp, "copy_to_clipboard", take)
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
        await until(pilot, lambda: bool(copied))
        assert all(f"rule {number}: be" in copied[0] for number in range(200))
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
    for file, words in ((path, "record_anchors = true"), (tmp_path / "none.db", "on another machine")):
        said = NodeStatus(NODE, msgspec.structs.replace(status().status, recording=str(file)))
        async with console(LARGE, ScriptedFeed([*live_messages(run_events()), said])) as pilot:
            await pilot.press("3", "enter", "a")
            screen = pilot.app.screen
            assert isinstance(screen, AnchorScreen)
            await until(pilot, lambda screen=screen: bool(screen.copied().partition("\n\n")[2]))
            assert words in " ".join((await drawn(pilot)).replace("│", " ").split())
