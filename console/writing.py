"""From a key to a file or the clipboard: what the screen in front lists or has selected, or its picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .export import write_new
from .screens.base import DeckScreen
from .words import clip

if TYPE_CHECKING:
    from .app import ConsoleApp


def write_out(app: ConsoleApp, *, picture: bool) -> None:
    """Write and say where; what cannot be written is said too."""
    screen = app.screen
    private = any(isinstance(shown, DeckScreen) and shown.private for shown in app.screen_stack)
    suffix, text = screen.export() if isinstance(screen, DeckScreen) and not picture else ("", "")
    if not suffix:
        suffix, text = "svg", app.export_screenshot()
    try:
        path = write_new(Path.cwd(), f"radixdeck-{app.current_mode}", suffix, text, private=private)
    except OSError as error:
        app.notify(f"not written: {error}", severity="error", timeout=6, markup=False)
        return
    app.notify(f"written to {path}", timeout=6, markup=False)


def copy_out(app: ConsoleApp) -> None:
    """Copy what is selected, by the terminal's own clipboard."""
    screen = app.screen
    text = screen.copied() if isinstance(screen, DeckScreen) else ""
    if not text:
        app.notify("nothing is selected that could be copied", severity="warning", timeout=3)
        return
    app.copy_to_clipboard(text)
    app.notify(f"copied: {clip(text.splitlines()[0], 60)}", timeout=3, markup=False)
