"""Over an agent's page: the whole text of its anchor, where it is recorded; else why it is not, and how to have it."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from ..anchor_words import Told, body, heading, read_texts
from ..fleet_state import NodeState
from ..whatif_worker import recording_of
from ..widgets.panel import Panel
from .base import DeckScreen


class TextScroll(VerticalScroll):
    """Text that is longer than the window."""

    BINDINGS = [
        Binding("up,k", "scroll_up", "up", show=False, id="list.up"),
        Binding("down,j", "scroll_down", "down", show=False, id="list.down"),
        Binding("pageup", "page_up", "page up", show=False, id="list.page_up"),
        Binding("pagedown", "page_down", "page down", show=False, id="list.page_down"),
        Binding("home", "ends(-1)", "first", show=False, id="list.first"),
        Binding("end", "ends(1)", "last", show=False, id="list.last"),
    ]

    def action_ends(self, direction: int) -> None:
        if direction < 0:
            self.scroll_home(animate=False)
        else:
            self.scroll_end(animate=False)


class AnchorScreen(DeckScreen):
    """`agent`: whose; `mode`: the screen its page was opened from."""

    mode = "agents"
    help_text = (
        "The system messages and tools that every prompt of this agent begins with, as they were when its anchor was "
        "measured, the last version first. Text is only there if the daemon was told to keep it (record_anchors), and "
        "only in the recording, never on the broker: it is read from the file, on the machine where that is. y copies "
        "it, X writes it to a file, escape goes back."
    )
    BINDINGS = [
        Binding("escape,backspace", "app.pop_screen", "back", key_display="esc", tooltip="back", id="view.back"),
    ]

    def __init__(self, agent: str, mode: str) -> None:
        super().__init__()
        self._agent, self._opened_from = agent, mode
        self._told: Told | None = None

    @property
    def shown_mode(self) -> str:
        return self._opened_from

    def body(self) -> Iterable[Widget]:
        yield Panel(id="anchor-facts", markup=False)
        with TextScroll(id="anchor-scroll") as scroll:
            scroll.border_title = "its text"
            yield Static("reading the recording", id="anchor-text", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(TextScroll).focus()
        self.run_worker(self._read(), exclusive=True)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        stats = entry.run.agents.get(self._agent)
        if tables:
            lines = heading(stats) if stats else [f"{self._agent} is not known in this run"]
            self.query_one("#anchor-facts", Static).update("\n".join(lines))

    def copied(self) -> str:
        """What is known of it and all of its text."""
        return f"{self.words_in('#anchor-facts')}\n\n{self._text}"

    def export(self) -> tuple[str, str]:
        return "txt", self.copied()

    @property
    def _text(self) -> str:
        return body(self._told) if self._told is not None else ""

    async def _read(self) -> None:
        """Once: a text does not change, and another version is there when this is opened again."""
        replay, entry = self.deck.replay, self.entry
        if entry is None:
            return
        path, why = recording_of(replay.path if replay else None, entry)
        self._told = await asyncio.to_thread(read_texts, path, why, self._agent)
        self.query_one("#anchor-text", Static).update(self._text)
