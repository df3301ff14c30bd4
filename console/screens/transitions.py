"""Mode 9: who follows whom, how sure that is, and how often it came true."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from ..export import as_csv
from ..fleet_state import NodeState
from ..follow_graph import graph
from ..matrix import transitions
from ..next_agents import live_sessions, summary
from ..widgets.panel import Panel
from .base import DeckScreen


class TransitionsScreen(DeckScreen):
    """The matrix, the drawing, or both beside each other; the sessions below."""

    mode = "transitions"
    help_text = (
        "Rows: the agent that ran; columns, by letter: the agent that came next in the same session, how often. "
        "Predictability R is 1 - H(next | present) / H(next): 0 no better than chance, 1 certain. A guess is that the "
        "most frequent follower so far comes next; it is made before every step and counted against what came. The "
        "drawing has a row per agent between START and END of a session: lines on the right lead down, lines on the "
        "left back up, in the colour of the agent they start from; beside them in numbers what comes next."
    )
    BINDINGS = [
        Binding("v", "view", "view", tooltip="matrix or drawing, where there is no room for both", id="view.drawing")
    ]

    def __init__(self) -> None:
        super().__init__()
        self._drawing = False

    def body(self) -> Iterable[Widget]:
        yield Panel(id="next-words", markup=False)
        with Vertical(id="next-panels"):
            with Horizontal(id="next-pictures"):
                yield Panel(id="next-matrix")
                yield Panel(id="next-graph")
            yield Panel(id="next-sessions", markup=False)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        said = entry.table.predictability if entry.table and entry.table.dispatches else None
        self.query_one("#next-words", Static).update(summary(entry.run, said))
        matrix = self.query_one("#next-matrix", Static)
        matrix.border_title = "next in the same session: row, then column"
        if matrix.content_size:
            matrix.update(transitions(entry.run, entry.marks, *matrix.content_size))
        drawing = self.query_one("#next-graph", Static)
        drawing.border_title = "who follows whom, from START to END of a session"
        if drawing.content_size:
            drawing.update(graph(entry.run, entry.marks, *drawing.content_size))
        sessions = self.query_one("#next-sessions", Static)
        width, height = sessions.content_size
        sessions.border_title = f"{len(entry.run.session_agent):,} sessions, the last used first"
        lines = live_sessions(entry.run, max(1, height - 1), max(20, width))
        sessions.update(Content("\n".join(lines or ["no session yet"])))

    def export(self) -> tuple[str, str]:
        """Who followed whom, and how often."""
        rows = self.entry.run.transitions if self.entry else {}
        told = [[one, other, str(times)] for one, row in rows.items() for other, times in row.items()]
        return "csv", as_csv(["agent", "next", "times"], told)

    def copied(self) -> str:
        """What is predicted of the sessions, and how well."""
        return self.words_in("#next-words", "#next-sessions")

    def action_view(self) -> None:
        self._drawing = not self._drawing
        self.set_class(self._drawing, "-drawing")
        self.call_after_refresh(self.refresh_state, tables=True)
