"""Mode 5: what happened and why, one sentence per event."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from ..causes import follow
from ..event_log import EventLog
from ..export import log_jsonl
from ..fields import fields_of
from ..fleet_state import NodeState
from ..widgets.filter_bar import FilterBar
from ..widgets.log_view import LogView
from ..widgets.panel import CursorPanel
from ..words import plain
from .chain import ChainScreen
from .filtering import FilteringScreen, filter_key


class EventsScreen(FilteringScreen):
    """The log, a filter, and everything the selected event says."""

    mode = "events"
    help_text = (
        "One sentence per event with its cause. / filters by words or by kind (node_evicted), n and N go from match to "
        "match, f switches between only the matches and all lines with the matches marked. v also shows what comes "
        "with every request (inserts, splits, owners, first tokens, load). enter follows an eviction or a request that "
        "missed to what caused it. space holds the picture still while the "
        "run goes on; y copies the selected event."
    )
    BINDINGS = [
        Binding("space", "pause", "pause", tooltip="hold the log still; the run goes on", id="view.pause"),
        filter_key("only events with a text"),
        Binding("n", "find(1)", "next", tooltip="next match", id="view.match"),
        Binding("N", "find(-1)", show=False, tooltip="previous match", id="view.match_back"),
        Binding("f", "only", "all/matches", id="view.only", tooltip="only matches, or all lines with matches marked"),
        Binding("v", "routine", "routine", tooltip="also what comes with every request", id="view.routine"),
        Binding("enter,c", "follow", "cause", key_display="⏎", tooltip="from this event to what caused it",
                id="view.cause"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._only = True
        self._routine = False
        self._paused = False
        self._log: EventLog | None = None
        self._seen: tuple[int, int, str] | None = None

    def body(self) -> Iterable[Widget]:
        yield LogView(id="log")
        yield CursorPanel(id="event-fields", markup=False)
        yield FilterBar()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In a replay space belongs to the replay."""
        return not (action == "pause" and self.deck.replay is not None)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if entry.log is not self._log:
            self._begin(entry.log)
        seen = (id(entry.log), entry.log.version, self._query)
        if self._paused or (seen == self._seen and not tables):
            return
        self._seen = seen
        view = self.query_one(LogView)
        lines = entry.log.select(self._query if self._only else "", routine=self._routine)
        view.show(lines, self._query)
        view.border_title = self._title(len(lines), len(entry.log))
        if tables or not view.following:
            # What comes by is not read line by line; a line that stands still is told in full at once.
            self.on_log_view_line_selected()

    def _begin(self, log: EventLog) -> None:
        """Of another daemon's log nothing is held still: neither the picture nor the line under the cursor."""
        if self._log is not None:
            self._paused = False
            self.query_one(LogView).following = True
        self._log = log

    def action_pause(self) -> None:
        self._paused = not self._paused
        view = self.query_one(LogView)
        if self._paused:
            view.following = False
            view.border_title = f"{view.border_title} - PAUSED, {self.key('view.pause', 'space')} goes on"
        else:
            view.following = True
            self.refresh_state(tables=True)

    def action_find(self, direction: int) -> None:
        if not self.query_one(LogView).find(direction):
            self.notify(
                f"no match; {self.key('view.filter', '/')} sets what to look for", severity="warning", timeout=3
            )

    def action_only(self) -> None:
        self._only = not self._only
        self._filter(self._query)

    def action_routine(self) -> None:
        self._routine = not self._routine
        self._filter(self._query)

    def action_follow(self) -> None:
        """Open the chain that the selected event is part of."""
        line, entry = self.query_one(LogView).selected, self.entry
        links = follow(line, entry.run, entry.log) if line and entry else []
        if not line or not links or entry is None:
            self.notify("no eviction hurt this one, and it is none", severity="warning", timeout=4)
            return
        self.deck.push_screen(ChainScreen(self.mode, entry, links, getattr(line.event, "agent", "")))

    def show_event(self, seq: int) -> None:
        """Put the cursor on an event, whatever was filtered."""
        self.query_one(FilterBar).put_away()
        self._routine = True
        self._filter("")
        self.query_one(LogView).go_to(seq)

    def export(self) -> tuple[str, str]:
        """The events that are listed, as `radixdeck tail` prints them."""
        return "jsonl", log_jsonl(self.query_one(LogView).lines)

    def copied(self) -> str:
        """The selected event in words, and everything it says."""
        line = self.query_one(LogView).selected
        return f"{line.text}\n{fields_of(line)}" if line is not None else ""

    def on_log_view_line_selected(self) -> None:
        line = self.query_one(LogView).selected
        panel = self.query_one("#event-fields", Static)
        panel.border_title = "selected event"
        panel.update(Content(f"{line.text}\n{fields_of(line)}") if line else "no event")

    def _filter(self, query: str) -> None:
        self._paused = False
        super()._filter(query)

    def _title(self, shown: int, known: int) -> str:
        filtered = f" with '{plain(self._query)}'" if self._query else ""
        routine = "" if self._routine else f", routine ones hidden ({self.key('view.routine', 'v')} shows)"
        return f"{shown:,} of the last {known:,} events{filtered}{routine}"
