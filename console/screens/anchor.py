"""Over an agent's page: the whole text of its anchor, where it is recorded; else why it is not, and how to have it."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Static

from ..anchor_words import body, heading, read_texts
from ..fleet_state import NodeState
from ..whatif_worker import recording_of
from ..widgets.panel import Panel
from ..widgets.text_scroll import TextScroll
from .base import DeckScreen, back_key


class AnchorScreen(DeckScreen):
    """`agent`: whose; `mode`: the screen its page was opened from."""

    mode = "agents"
    private = True
    help_text = (
        "The system messages and tools that every prompt of this agent begins with, as they were when its anchor was "
        "measured, the last version first. Text is only there if the daemon was told to keep it (record_anchors), and "
        "only in the recording, never on the broker: it is read from the file, on the machine where that is. y copies "
        "it, X writes it to a file that only you can read, escape goes back."
    )
    BINDINGS = [back_key()]

    def __init__(self, agent: str, mode: str) -> None:
        super().__init__()
        self._agent, self._opened_from = agent, mode
        self._text = ""
        self._read_of: tuple[str, ...] = ()
        """The daemon, run and recording that the text is of."""

    @property
    def shown_mode(self) -> str:
        return self._opened_from

    def body(self) -> Iterable[Widget]:
        yield Panel(id="anchor-facts", markup=False)
        scroll = TextScroll(id="anchor-scroll")
        scroll.border_title = "its text"
        yield scroll

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(TextScroll).focus()

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        stats = entry.run.agents.get(self._agent)
        if tables:
            lines = heading(stats) if stats else [f"{self._agent} is not known in this run"]
            self.query_one("#anchor-facts", Static).update("\n".join(lines))
            self._read_what_is_of(entry)

    def copied(self) -> str:
        """What is known of it and all of its text."""
        return f"{self.words_in('#anchor-facts')}\n\n{self._text}"

    def export(self) -> tuple[str, str]:
        return "txt", self.copied()

    def _read_what_is_of(self, entry: NodeState) -> None:
        """Once for a run: a text does not change, and another version is there when this is opened again."""
        wanted = (entry.node, entry.run_id, entry.status.recording if entry.status else "")
        if wanted != self._read_of:
            self._read_of, self._text = wanted, ""
            self.query_one(TextScroll).show("reading the recording")
            self.run_worker(self._read(entry), exclusive=True)

    async def _read(self, entry: NodeState) -> None:
        replay = self.deck.replay
        path, why = recording_of(replay.path if replay else None, entry)
        self._text = await asyncio.to_thread(lambda: body(read_texts(path, why, self._agent)))
        self.query_one(TextScroll).show(self._text)
