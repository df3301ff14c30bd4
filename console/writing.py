"""From a key to a file: what the screen in front lists, or its picture, in the working folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .export import write_new
from .screens.base import DeckScreen

if TYPE_CHECKING:
    from .app import ConsoleApp


def write_out(app: ConsoleApp, *, picture: bool) -> None:
    """Write and say where; what cannot be written is said too."""
    screen = app.screen
    suffix, text = screen.export() if isinstance(screen, DeckScreen) and not picture else ("", "")
    if not suffix:
        suffix, text = "svg", app.export_screenshot()
    try:
        path = write_new(Path.cwd(), f"radixdeck-{app.current_mode}", suffix, text)
    except OSError as error:
        app.notify(f"not written: {error}", severity="error", timeout=6, markup=False)
        return
    app.notify(f"written to {path}", timeout=6, markup=False)
