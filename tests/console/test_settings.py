"""Theme and keys from a file: they work, and what is wrong in the file is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario import NODE, run_events
from staging import ScriptedFeed, drawn, live_messages, screen_text, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.keymap import checked
from radixdeck.console.settings import Settings, SettingsError, load, settings_path


def file_of(folder: Path, text: str) -> Path:
    path = folder / "console.toml"
    path.write_text(text)
    return path


def test_everything_can_be_told(tmp_path: Path) -> None:
    told = load(file_of(tmp_path, 'theme = "nord"\nread_only = true\n[keys]\n"act.warm" = "ctrl+w"\n'))
    assert told == Settings(theme="nord", read_only=True, keys={"act.warm": "ctrl+w"})


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert tmp_path in settings_path().parents
    assert load() == Settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "unknown field `colour`"),
        ("theme = 3", r"Expected `str`"),
        ("theme = ", "console.toml: "),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load(file_of(tmp_path, text))
    with pytest.raises(SettingsError, match="no such file"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(theme="dek"), "theme: no 'dek'; known: "),
        (Settings(keys={"act.wram": "f5"}), "nothing is called 'act.wram'; did you mean 'act.warm'"),
        (Settings(keys={"act.warm": "q"}), "'q' would be both"),
        (Settings(keys={"act.warm": "f5", "act.pin": "f5"}), "'f5' would be both"),
        (Settings(keys={"act.warm": ""}), "'act.warm' has an empty key"),
    ],
)
def test_what_this_console_has_not_is_refused_by_name(settings: Settings, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        checked(settings, ["deck"])


async def test_a_changed_key_works_and_the_old_one_does_not() -> None:
    feed = ScriptedFeed(live_messages(run_events()))
    settings = Settings(theme="deck-contrast", keys={"act.warm": "f5", "screen.agents": "f3"})
    app = ConsoleApp(feed, animate=False, settings=settings)
    async with app.run_test() as pilot:
        assert app.theme == "deck-contrast"
        await pilot.press("3")
        await drawn(pilot)
        assert app.current_mode == "fleet"
        await pilot.press("f3")
        await drawn(pilot)
        assert app.current_mode == "agents"
        await pilot.press("w")
        await drawn(pilot)
        assert feed.orders == []
        await pilot.press("f5")
        await until(pilot, lambda: bool(feed.orders))
        assert feed.orders[0][:2] == (NODE, "warm")


async def test_keys_of_one_screen_can_be_changed_too() -> None:
    app = ConsoleApp(
        ScriptedFeed(live_messages(run_events())),
        animate=False,
        settings=Settings(keys={"view.tree": "f6", "view.filter": "ctrl+f"}),
    )
    async with app.run_test() as pilot:
        await pilot.press("2", "T")
        assert "KV pool" in await drawn(pilot)
        await pilot.press("f6", "ctrl+f", *"coder", "enter")
        assert "rows with 'coder'" in await drawn(pilot)
    with pytest.raises(SettingsError, match="'q' would be both"):
        ConsoleApp(ScriptedFeed([]), settings=Settings(keys={"view.tree": "q"}))


async def test_without_colour_the_same_words_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ConsoleApp(ScriptedFeed(live_messages(run_events())), animate=False)
    async with app.run_test() as pilot:
        await pilot.press("2")
        text = await drawn(pilot)
        assert "CCCC" in text
        assert "rrrr" in screen_text(app)
