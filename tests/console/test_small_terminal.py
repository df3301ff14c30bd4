"""80 columns and 24 rows are enough: nothing that matters is cut, and no word is torn."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from scenario import NODE, run_events
from staging import LARGE, SMALL, ScriptedFeed, console, drawn, in_words, live_messages, recorded, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import Connection
from radixdeck.console.screens.shadow import ShadowScreen
from radixdeck.console.widgets.keys_line import ALWAYS, KeysLine
from radixdeck.console.widgets.table import SyncTable
from radixdeck.console.words import rounded
from radixdeck.policies.events import EngineStarted


def whole_keys(app: ConsoleApp) -> list[str]:
    """What the last line holds, as it would be written in full, help at the end."""
    shown = [key for key in app.screen.query_one(KeysLine).children if key.display]
    shown.sort(key=lambda key: key.has_class(ALWAYS))
    return [f"{key.key_display} {key.description}" for key in shown]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(60, 16), SMALL, LARGE])
async def test_every_key_in_the_last_line_is_there_in_full(size: tuple[int, int], tmp_path: Path) -> None:
    session = await recorded(tmp_path / "run.db", run_events())
    app, seen = ConsoleApp(ReplayFeed(session, playing=False), animate=False), set[str]()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        for mode in "1234567890":
            await pilot.press(mode)
            line = (await drawn(pilot)).splitlines()[-1]
            seen.add(app.current_mode)
            told = whole_keys(app)
            assert told[-1] == "? help", mode
            assert len(told) > 3, mode
            assert " ".join(line.split()) == " ".join(" ".join(told).split()), mode
    assert len(seen) == 10
    session.close()


@pytest.mark.parametrize("read_only", [False, True])
async def test_orders_are_in_the_last_line_where_they_can_be_given(read_only: bool) -> None:
    async with console(LARGE, read_only=read_only) as pilot:
        await pilot.press("3")
        line = (await drawn(pilot)).splitlines()[-1]
        assert ("e evict" in line) is not read_only
        assert "s sort" in line


@pytest.mark.parametrize(
    ("keys", "told", "untold"),
    [
        (("4",), {"shadow"}, {"switch"}),
        (("4", "tab"), {"shadow"}, {"type", "less", "more", "default"}),
        (("3", "U"), {"back"}, {"undo"}),
        (("0",), {"less", "more", "tunables"}, set[str]()),
    ],
)
async def test_a_replay_tells_no_key_that_only_refuses(
    keys: tuple[str, ...], told: set[str], untold: set[str], tmp_path: Path
) -> None:
    """Those of a what-if, which are its own, it does; a live console tells all of them."""
    session = await recorded(tmp_path / "run.db", run_events())
    replay = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    live = ConsoleApp(ScriptedFeed(live_messages(run_events())), animate=False)
    for app, others in ((replay, set[str]()), (live, untold)):
        async with app.run_test(size=LARGE) as pilot:
            await pilot.press(keys[0], "G")
            await until(pilot, lambda app=app: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq >= 400)
            await drawn(pilot)
            await pilot.press(*keys[1:])
            await drawn(pilot)
            here = {words.partition(" ")[2] for words in whole_keys(app)}
            assert here >= told | others
            assert not here & (untold - others)
    session.close()


async def test_of_a_shadow_in_a_replay_it_is_only_the_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.console.shadow_worker.ShadowWorker.want", lambda *_: None)
    session = await recorded(tmp_path / "run.db", run_events())
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("4", "G")
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq >= 400)
        await drawn(pilot)
        await app.push_screen(ShadowScreen("kv_caching"))
        await drawn(pilot)
        app.screen.query_one("#shadow-tunables").focus()
        await drawn(pilot)
        here = {words.partition(" ")[2] for words in whole_keys(app)}
        assert here >= {"type", "less", "more", "default", "stop"}
        assert "switch over" not in here
    session.close()


async def test_the_window_may_grow_and_shrink() -> None:
    async with console(SMALL) as pilot:
        await pilot.press("0")
        assert "T tunables" not in (await drawn(pilot)).splitlines()[-1]
        await pilot.resize_terminal(*LARGE)
        assert "T tunables" in (await drawn(pilot)).splitlines()[-1]
        await pilot.resize_terminal(*SMALL)
        assert "T tunables" not in (await drawn(pilot)).splitlines()[-1]


async def test_the_status_line_says_it_shorter_before_it_cuts_a_number() -> None:
    for size, asked in ((SMALL, "run+wait 0+0"), (LARGE, "0 running 0 waiting")):
        async with console(size) as pilot:
            line = (await drawn(pilot)).splitlines()[2]
            assert "KV ████████" in line
            assert line.endswith(asked)
    async with console((60, 16)) as pilot:
        assert "KV 3.9k/4.0k 98 %" in (await drawn(pilot)).splitlines()[2], "numbers rather than a gauge"


async def test_the_status_line_says_that_one_of_several_replicas_is_seen() -> None:
    told = [
        msgspec.structs.replace(event, replicas=2) if isinstance(event, EngineStarted) else event
        for event in run_events()
    ]
    for events, said in ((told, True), (run_events(), False)):
        async with console(LARGE, ScriptedFeed(live_messages(events))) as pilot:
            assert ("1 of 2 replicas seen" in (await drawn(pilot)).splitlines()[1]) is said


@pytest.mark.parametrize("size", [SMALL, (60, 16)])
async def test_that_of_a_replay_leaves_out_what_matters_less(size: tuple[int, int], tmp_path: Path) -> None:
    session = await recorded(tmp_path / "run.db", run_events())
    app = ConsoleApp(ReplayFeed(session, speed=0.25, playing=False), animate=False)
    async with app.run_test(size=size) as pilot:
        await pilot.press("G")
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].run.t_ns == session.last_ns)
        line = (await drawn(pilot)).splitlines()[2]
        assert "‖ 0.25x 0:24.3 / 0:24.3  KV" in line
        assert "3.9k/4.0k 98 %" in line
        assert ("  hit 70 % now" in line) is (size == SMALL)
        assert " % run" not in line
        assert line.endswith("run+wait 0+0")
    session.close()


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ("/opt/deck", "start one with: /opt/deck/bin/radixdeck serve, or replay a recording"),
        (f"/opt/{'longer/' * 3}deck", f"start one with: /opt/{'longer/' * 3}deck/bin/radixdeck serve"),
    ],
)
async def test_without_a_daemon_every_screen_says_what_to_do(
    home: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command comes before what else could be done."""
    monkeypatch.setattr("radixdeck.console.words.command_line", lambda word: f"{home}/bin/radixdeck {word}")
    async with console(SMALL, ScriptedFeed([Connection(True)])) as pilot:
        for mode in "1234567890":
            await pilot.press(mode)
            second = (await drawn(pilot)).splitlines()[2]
            assert second.strip() == said


async def test_all_of_a_node_is_in_sight() -> None:
    async with console(SMALL) as pilot:
        await pilot.press("2", "down", "down")
        text = in_words(await drawn(pilot))
        for words in ("node 6; anchor of critic; 300 tok at depth 64", "critic: 11 dispatches", "goes as number 7",
                      "at the present 568 tok/s"):  # fmt: skip
            assert words in text


async def test_forecast_and_sessions_of_an_agent_have_the_whole_width() -> None:
    async with console(SMALL) as pilot:
        await pilot.press("3", "enter")
        text = await drawn(pilot)
        assert "hurt       7 misses (7 nodes), 1,140 tok" in text
        assert "first token 134 ms, last 30 s" in text
        await pilot.press("v")
        assert "anchor goes as number 7: after 1,685 tok more" in in_words(await drawn(pilot))
        await pilot.press("v")
        assert "declared by callers" in await drawn(pilot)
        await pilot.press("v")
        assert "asked      11 times" in await drawn(pilot)


@pytest.mark.parametrize("size", [(100, 24), (100, 30), (120, 34), (149, 24), (160, 24), (200, 30)])
async def test_on_a_low_page_of_an_agent_one_panel_has_the_room_and_v_turns(size: tuple[int, int]) -> None:
    async with console(size) as pilot:
        await pilot.press("3", "enter")
        for panel, words in (
            ("evicted nodes that hurt", ("lost to", "taken from")),
            ("will it find its anchor?", ("comes ", "chance ", "anchor goes as number 7")),
            ("tools, sessions", ("tools ", "declared by callers")),
            ("evicted nodes that hurt", ("lost to", "taken from")),
        ):
            text = await drawn(pilot)
            assert "asked      11 times" in text, "the facts stay"
            for words_of_it in (panel, *words):
                assert words_of_it in text, panel
            assert "v view" in text
            await pilot.press("v")


@pytest.mark.parametrize("width", [60, 64, 72, 76, 96])
async def test_no_column_runs_off_the_edge(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual cuts there without a word, and a number becomes another one."""
    monkeypatch.setattr("radixdeck.console.shadow_worker.ShadowWorker.want", lambda *_: None)
    async with console((width, 24)) as pilot:
        seen = 0
        for keys in (("1",), ("3",), ("4",), ("4", "D"), ("4", "S"), ("7",), ("0",), ("7", "U")):
            for key in keys:
                await pilot.press(key)
                await drawn(pilot)
            for table in pilot.app.screen.query(SyncTable):
                seen += 1
                widths = [column.get_render_width(table) for column in table.ordered_columns]
                # The last blank of a column may go.
                assert sum(widths) <= table.scrollable_content_region.width + 1, (keys, table.id)
            if len(keys) > 1:
                await pilot.press("escape")
        assert seen == 11


async def test_why_something_was_ordered_is_said_where_it_has_no_column() -> None:
    async with console(SMALL) as pilot:
        await pilot.press("U", "down")
        assert "switch kv_caching on, because: trying it:" in in_words(await drawn(pilot))


async def test_the_columns_of_requests_are_named_in_their_frame() -> None:
    async with console(SMALL) as pilot:
        await pilot.press("8")
        lines = (await drawn(pilot)).splitlines()
        frame = next(place for place, line in enumerate(lines) if "of the last 61 requests" in line)
        head, first = lines[frame + 1], lines[frame + 2]
        assert head.split()[1:5] == ["arrived", "agent", "prompt", "hit"]
        assert head.index("pushed out by") == first.index("- ")


async def test_a_shadow_that_has_modelled_nothing_yet_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.console.shadow_worker.ShadowWorker.want", lambda *_: None)
    async with console(SMALL, ScriptedFeed(live_messages(run_events()))) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        await pilot.press("S")
        text = await drawn(pilot)
        assert "kv_caching (on) would evict next" in text
        assert text.count("nothing modelled yet") == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.05, "0.05"), (4096.0, "4096"), (50_000.0, "50k"), (262_144.0, "262.1k"), (1e6, "1M"), (1e9, "1G"),
     (-2e9, "-2G"), (0.0, "0"), (9_999.6, "10k"), (9_999.4, "9999"), (999_950.0, "1M"), (-999_960_000.0, "-1G")],
)  # fmt: skip
def test_large_numbers_are_read_at_a_glance(value: float, words: str) -> None:
    assert rounded(value) == words
