"""The keys that work on every screen, each under a name that a settings file can give another key to."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from textual.binding import Binding

from .replay_keys import REPLAY_BINDINGS
from .screens.base import MODES, ActingScreen, key_of
from .settings import Settings, SettingsError, check_keys


def _screen(number: int, mode: str, words: str) -> Binding:
    told = f"{mode}: {words}"
    return Binding(key_of(number), f"switch_mode('{mode}')", mode, show=False, tooltip=told, id=f"screen.{mode}")


APP_BINDINGS: list[Binding] = [
    *(_screen(number, mode, words) for number, (mode, words) in enumerate(MODES.items(), 1)),
    *REPLAY_BINDINGS,
    Binding("left_parenthesis", "next_daemon(-1)", show=False, key_display="(", id="app.before",
            tooltip="the daemon before"),
    Binding("right_parenthesis", "next_daemon(1)", show=False, key_display=")", id="app.after",
            tooltip="the daemon after"),
    Binding("question_mark", "help", "help", key_display="?", id="app.help", tooltip="what is focused, and every key"),
    Binding("U", "orders", show=False, id="app.undo", tooltip="what operators did, and undo it"),
    Binding("W", "why", show=False, id="app.why", tooltip="say why: recorded with every order from now on"),
    Binding("g", "ends(-1)", show=False, id="app.first", tooltip="to the first line of what is focused"),
    Binding("G", "ends(1)", show=False, id="app.last", tooltip="to the last line of what is focused"),
    Binding("y", "copy", show=False, id="app.copy", tooltip="copy what is selected"),
    Binding("X", "export", show=False, id="app.export", tooltip="write what is listed to a file here"),
    Binding("ctrl+s", "export(True)", show=False, id="app.picture", tooltip="write a picture of the screen here"),
    Binding("q", "quit", "quit", id="app.quit", tooltip="leave; the daemon goes on"),
]  # fmt: skip


def checked(settings: Settings, themes: Collection[str], screens: Iterable[object] = ()) -> Settings:
    """The settings, if their theme and their keys are ones that this console and its `screens` have. Raises
    SettingsError."""
    if settings.theme and settings.theme not in themes:
        raise SettingsError(f"theme: no {settings.theme!r}; known: {', '.join(sorted(themes))}")
    owners = (ActingScreen, *screens)
    theirs = [one for owner in owners for one in getattr(owner, "BINDINGS", ()) if isinstance(one, Binding)]
    check_keys(settings.keys, [*APP_BINDINGS, *theirs])
    return settings
