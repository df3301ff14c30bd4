"""Every key of every screen, widget and dialog has a name, and a settings file can give it another key."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from scenario import run_events
from staging import LARGE, SMALL, ScriptedFeed, drawn, in_words, live_messages, screen_text, until
from textual.app import App
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input
from typer.testing import CliRunner

import radixdeck.console
from radixdeck.console.app import ConsoleApp
from radixdeck.console.cli import app as command_line
from radixdeck.console.help import HelpScreen, help_content
from radixdeck.console.key_check import as_sent, is_key
from radixdeck.console.keymap import DIALOGS, OPENED, WIDGETS, checked, scopes, screens, taken_by
from radixdeck.console.screens.agent import AgentScreen
from radixdeck.console.screens.base import DeckScreen
from radixdeck.console.screens.decisions import DecisionsScreen
from radixdeck.console.screens.orders import OrdersScreen
from radixdeck.console.settings import Settings, SettingsError


def owners() -> Iterator[type[DOMNode]]:
    """Every class of the console that can have keys."""
    for module in pkgutil.walk_packages(radixdeck.console.__path__, "radixdeck.console."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, DOMNode) and value.__module__ == module.name:
                yield value


OWNERS = sorted(owners(), key=lambda owner: owner.__qualname__)


def test_the_walk_finds_screens_dialogs_widgets_and_the_app() -> None:
    assert {ConsoleApp, AgentScreen, HelpScreen, *OPENED, *DIALOGS, *WIDGETS} <= set(OWNERS)


@pytest.mark.parametrize("owner", [owner for owner in OWNERS if "BINDINGS" in vars(owner)])
def test_each_key_has_a_name_that_a_settings_file_may_use(owner: type[DOMNode]) -> None:
    for binding in vars(owner)["BINDINGS"]:
        assert isinstance(binding, Binding)
        assert binding.id, f"{owner.__name__}: {binding.key} has no name"
        checked(Settings(keys={binding.id: "f12"}))
        with pytest.raises(SettingsError, match=f"did you mean '{binding.id}'"):
            checked(Settings(keys={f"{binding.id}_": "f12"}))


@pytest.mark.parametrize("owner", OWNERS)
def test_whatever_has_keys_is_looked_at_for_conflicts(owner: type[DOMNode]) -> None:
    """A screen that the keymap has never heard of would be checked against nothing."""
    known: list[type[DOMNode]] = [*screens(), *DIALOGS, *WIDGETS]
    if issubclass(owner, App) or not any("BINDINGS" in vars(base) for base in owner.__mro__ if base in OWNERS):
        return
    if issubclass(owner, Screen | Widget):
        told = any(issubclass(one, owner) for one in known)
        same = "BINDINGS" not in vars(owner) and any(issubclass(owner, one) for one in WIDGETS)
        assert told or same, f"{owner.__name__} is missing in console/keymap.py"


def test_as_they_come_no_two_names_of_a_screen_or_widget_share_a_key() -> None:
    for owner in (one for one in OWNERS if issubclass(one, DeckScreen | Widget) and "BINDINGS" in vars(one)):
        keys = [one.key for one in Binding.make_bindings(vars(owner)["BINDINGS"])]
        assert len(keys) == len(set(keys)), owner.__name__


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"view.span": "v"}, "'v' would be both 'view.panel' and 'view.span'"),
        ({"view.back": "ctrl+e", "act.evict": "ctrl+e"}, r"'ctrl\+e' would be both"),
        ({"view.switch_over": "x"}, "'x' would be both 'view.stop' and 'view.switch_over'"),
        ({"view.less": "ctrl+x", "view.more": "ctrl+x"}, r"'ctrl\+x' would be both"),
        ({"view.back": "backspace"}, "'backspace' would be both 'view.default' and 'view.back'"),
        ({"list.up": "slash"}, "'slash' would be both"),
        ({"view.shadow": "?"}, "'question_mark' would be both 'app.help' and 'view.shadow'"),
        ({"dialog.yes": "enter"}, "'enter' would be both 'dialog.no' and 'dialog.yes'"),
        ({"dialog.cancel": "x"}, "'dialog.cancel': 'x' types something"),
        ({"view.span": "crtl+e"}, "'view.span': there is no key 'crtl\\+e'; for example"),
        ({"view.span": "f55"}, "there is no key 'f55'"),
        ({"view.span": "f5,"}, "'view.span' has an empty key"),
        ({"view.span": "ctrl+q"}, "'ctrl\\+q' cannot be given to anything"),
        ({"view.span": "shift+e"}, r"'view.span': no terminal sends 'shift\+e'; write E"),
        ({"view.span": "ctrl+E"}, r"no terminal sends 'ctrl\+E'; write ctrl\+e"),
        ({"view.span": "alt+E"}, r"write alt\+shift\+e"),
        ({"view.span": "shift+ctrl+f5"}, r"write ctrl\+shift\+f5"),
        ({"view.span": "latin_small_letter_e"}, "write e"),
        ({"view.span": "digit_one"}, "no terminal sends 'digit_one'; write 1"),
        ({"view.span": "ctrl+m"}, r"no terminal sends 'ctrl\+m'; write enter"),
        ({"view.span": "shift+1"}, "write the character that it types"),
        ({"view.clear": "z"}, "'view.clear': 'z' types something"),
        ({"dialog.cancel": "left"}, "'left' would not reach 'dialog.cancel': what is focused takes it"),
        ({"dialog.cancel": "enter"}, "'enter' would not reach 'dialog.cancel'"),
        ({"view.clear": "ctrl+u"}, r"'ctrl\+u' would not reach 'view.clear'"),
        ({"dialog.close": "up"}, r"'up' would not reach 'dialog.close': .* \(scroll up\)"),
        ({"view.sort": "ctrl+home"}, r"'ctrl\+home' would not reach 'view.sort': .* \(top\)"),
        ({"app.quit": "f9,ctrl+end"}, r"'ctrl\+end' would not reach 'app.quit'"),
    ],
)
def test_what_cannot_be_given_is_refused_by_name(keys: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        checked(Settings(keys=keys))


@pytest.mark.parametrize(
    "keys",
    [
        {"view.span": "v", "view.panel": "z"},
        {"view.span": "ctrl+z,f9", "view.stop": "z"},
        {"list.up": "k", "view.back": "escape"},
        {"view.pause": "P"},
        {"list.first": "ctrl+home"},
        {"act.evict": "ctrl+e", "view.open": "o,enter"},
        {"dialog.cancel": "ctrl+o,f9", "dialog.close": "ctrl+a", "view.clear": "f9"},
    ],
)
def test_keys_may_be_exchanged_and_shared_by_what_is_never_seen_together(keys: dict[str, str]) -> None:
    assert checked(Settings(keys=keys)).keys == keys


def test_what_a_key_may_be() -> None:
    good = ("a", "A", "?", "é", "f5", "ctrl+e", "question_mark", "plus", "minus", "ctrl+shift+f5", "ctrl+shift+e",
            "alt+shift+e", "shift+tab", "slash", "shift+space", "ctrl+question_mark")  # fmt: skip
    assert [key for key in (*good, *(one.key for scope in scopes() for one in Binding.make_bindings(scope)))
            if not is_key(key)] == []  # fmt: skip
    assert [key for key in good if as_sent(key) != key] == []
    assert not [key for key in ("", "ctrl+", "evct", "f99", "enter enter", "<any>") if is_key(key)]


def test_no_key_of_ours_is_one_that_no_terminal_sends() -> None:
    ours = {one.key for scope in scopes() for one in Binding.make_bindings(scope)}
    assert {key for key in ours if as_sent(key) != key} == set()


@pytest.mark.parametrize("focused", [*WIDGETS, Input, VerticalScroll])
def test_what_a_widget_takes_for_itself_is_what_textual_gives_it(focused: type[Widget]) -> None:
    given = focused._merged_bindings
    assert given is not None
    unnamed = {key for key, made in given.key_to_bindings.items() if not any(one.id for one in made)}
    assert taken_by(focused).keys() == unnamed


def console_with(keys: dict[str, str]) -> ConsoleApp:
    return ConsoleApp(ScriptedFeed(live_messages(run_events())), animate=False, settings=Settings(keys=keys))


def told(app: ConsoleApp) -> list[str]:
    out = Console(width=110, color_system=None)
    with out.capture() as capture:
        out.print(help_content(app.screen, app.settings.keys))
    return [line.strip() for line in capture.get().splitlines()]


async def test_keys_of_an_opened_screen_work_and_are_told_under_the_new_key() -> None:
    app = console_with({"view.span": "f8,ctrl+o", "view.back": "f9", "view.open": "o", "app.panel": "f4"})
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("3")
        await drawn(pilot)
        await pilot.press("enter")
        await drawn(pilot)
        assert not isinstance(app.screen, AgentScreen), "enter was given away"
        await pilot.press("o")
        await drawn(pilot)
        assert isinstance(app.screen, AgentScreen)
        await pilot.press("z", "z", "z")
        await drawn(pilot)
        assert app.screen._span == 0
        await pilot.press("f8", "ctrl+o")
        await drawn(pilot)
        assert app.screen._span == 2
        lines = told(app)
        assert "f8 ^o  another span of time" in lines
        assert "f9  back" in lines
        assert any(line.startswith("f4  the next panel") for line in lines)
        assert any("your settings give others" in line for line in lines)
        helps = {command.title: command.help for command in app.get_system_commands(app.screen)}
        assert helps["Agents: span"] == "another span of time; key f8 ^o"
        await pilot.press("escape")
        await drawn(pilot)
        assert isinstance(app.screen, AgentScreen)
        await pilot.press("f9")
        await until(pilot, lambda: not isinstance(app.screen, AgentScreen))


async def test_the_palette_tells_the_new_keys_of_other_screens_too() -> None:
    app = console_with({"view.curve": "f6", "act.warm": "f5", "screen.harm": "f7", "app.palette": "f2"})
    async with app.run_test(size=LARGE) as pilot:
        await drawn(pilot)
        helps = {command.title: command.help for command in app.get_system_commands(app.screen)}
        assert helps["Policies: curve"].endswith("; key f6")
        assert helps["Warm"].endswith("; key f5")
        assert helps["Go to harm"].endswith("; key f7")
        assert helps["Pin"].endswith("; key p")
        assert "f2  everything by name" in told(app)
        await pilot.press("ctrl+p")
        await drawn(pilot)
        assert len(app.screen_stack) == 1
        await pilot.press("f2")
        await until(pilot, lambda: len(app.screen_stack) == 2)


async def test_keys_of_decisions_orders_and_dialogs() -> None:
    app = console_with(
        {"view.decisions": "f6", "view.back": "f9", "app.undo": "f3", "dialog.yes": "f10", "dialog.no": "n"}
    )
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, DecisionsScreen))
        await pilot.press("f9", "f3")
        await until(pilot, lambda: isinstance(app.screen, OrdersScreen))
        await pilot.press("f3", "3")
        await drawn(pilot)
        await pilot.press("Q")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        assert "f10  yes      n  no" in screen_text(app)
        feed = app.feed
        assert isinstance(feed, ScriptedFeed)
        await pilot.press("y")
        await drawn(pilot)
        assert feed.orders == []
        await pilot.press("f10")
        await until(pilot, lambda: bool(feed.orders))


async def test_the_ends_stay_those_of_a_list_when_they_are_given_another_key() -> None:
    app = console_with({"app.last": "f6"})
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("5")
        await drawn(pilot)
        await pilot.press("g")
        assert "selected event" in await drawn(pilot)
        helps = {command.title: command.help for command in app.get_system_commands(app.screen)}
        assert helps["Last"].endswith("; key f6")
        assert helps["First"].endswith("; key g")


def test_every_name_is_printed_with_its_key(tmp_path: Path) -> None:
    settings = tmp_path / "console.toml"
    settings.write_text('[keys]\n"view.span" = "f8"\n')
    result = CliRunner().invoke(command_line, ["console", "--keys", "--settings", str(settings)])
    assert result.exit_code == 0
    lines = {tuple(line.split()[:2]) for line in result.output.splitlines()}
    assert {("view.span", "f8"), ("act.warm", "w"), ("list.up", "up,k"), ("dialog.yes", "y")} <= lines
    assert {one.id for scope in scopes() for one in scope} == {name for name, _ in lines}
    settings.write_text('[keys]\n"view.spam" = "f8"\n')
    result = CliRunner().invoke(command_line, ["console", "--keys", "--settings", str(settings)])
    assert result.exit_code == 2
    assert "did you mean 'view.span'" in result.output


async def test_sentences_name_a_given_key_as_it_is_shown() -> None:
    app = console_with({"view.anchor": "question_mark", "app.help": "f1", "app.undo": "exclamation_mark"})
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("3", "enter")
        assert "; ?: its text" in await drawn(pilot)
        await pilot.press("W")
        assert "listed under !," in in_words(await drawn(pilot))


async def test_a_small_agent_page_says_which_key_opens_the_anchor() -> None:
    for keys, words in (({}, "a: the text of its anchor"), ({"view.anchor": "A"}, "A: the text of its anchor")):
        app = console_with(keys)
        async with app.run_test(size=SMALL) as pilot:
            await pilot.press("3", "enter")
            assert words in await drawn(pilot)
