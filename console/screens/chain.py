"""One chain from effect to cause, opened over another screen: each step in words, the whole event below."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual import events
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from ..causes import Link
from ..commands import NoTarget, Target
from ..event_log import LogLine
from ..export import as_csv
from ..fields import fields_of
from ..fleet_state import NodeState
from ..widgets.panel import Panel
from ..words import time_of_day
from .base import ActingScreen, back_key

SIGNS = {"miss": ">", "effect": ">", "eviction": "-", "insert": "+", "request": "?", "order": "*"}


class ChainScreen(ActingScreen):
    """Steps as the run of `entry` knew them when it was opened; orders are about the agent that was hurt. While another
    daemon or a later run is shown, names and numbers mean something else there: nothing is looked up, and no order is
    given."""

    mode = "harm"
    help_text = (
        "From effect to cause: the request that had to compute again, the eviction that made it, the insert that "
        "needed the room, the request that it was for; and on, where that one had been hurt itself. Up and down, or a "
        "click, choose a step, enter shows its event in the log, escape goes back. t p b w act on who was hurt."
    )
    BINDINGS = [
        Binding("up,k", "move(-1)", show=False, tooltip="to the effect", id="list.up"),
        Binding("down,j", "move(1)", "cause", key_display="↓", tooltip="to the cause", id="list.down"),
        Binding("enter", "open", "in the log", tooltip="show this event in the log", id="view.event"),
        back_key(),
    ]

    def __init__(self, mode: str, entry: NodeState, links: Sequence[Link], agent: str) -> None:
        super().__init__()
        self._opened_from, self._links, self._agent = mode, links, agent
        self._of = (entry.node, entry.run_id)
        self._place = 0

    @property
    def shown_mode(self) -> str:
        return self._opened_from

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="chain", can_focus=False):
            for place in range(len(self._links)):
                yield Panel(id=f"link-{place}")
        yield Panel(id="event-fields", markup=False)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if tables:
            self._show(entry)

    def target(self) -> Target | None:
        """Raises NoTarget while something else is shown than what it is of."""
        if other := self._other():
            raise NoTarget(other)
        return self.agent_target(self._agent)

    def on_click(self, event: events.Click) -> None:
        """A click chooses a step."""
        _, link, place = ((event.widget.id if event.widget else None) or "").partition("link-")
        if link:
            self._choose(int(place))

    def action_move(self, steps: int) -> None:
        self._choose(max(0, min(len(self._links) - 1, self._place + steps)))

    def _choose(self, place: int) -> None:
        self._place = place
        if self.entry is not None:
            self._show(self.entry)
            self.query_one(f"#link-{self._place}").scroll_visible(animate=False)

    async def action_open(self) -> None:
        seq = self._links[self._place].seq
        other = self._other()
        if seq < 0 or other:
            self.notify(other or "the log no longer holds this event", severity="warning", timeout=4, markup=False)
            return
        await self.deck.show_event(seq)

    def copied(self) -> str:
        """The whole chain."""
        return "\n".join(f"{time_of_day(link.t_ns)} {link.what}: {link.text}" for link in self._links)

    def export(self) -> tuple[str, str]:
        """A line per step."""
        rows = [[time_of_day(link.t_ns), link.what, link.text, str(link.seq)] for link in self._links]
        return "csv", as_csv(["time", "step", "what", "event"], rows)

    def _other(self) -> str:
        """That something else is shown than what it is of, '' if it is that."""
        node, run_id = self._of
        if self.entry is None or self._of == (self.entry.node, self.entry.run_id):
            return ""
        return f"this chain is of {node if self.entry.node != node else f'run {run_id}'}, which is not shown now"

    def _show(self, entry: NodeState) -> None:
        self.query_one("#chain").border_title = f"from effect to cause: {len(self._links)} steps"
        for place, link in enumerate(self._links):
            self.query_one(f"#link-{place}", Static).update(self._line(place, link))
        fields = self.query_one("#event-fields", Static)
        fields.border_title = "its event"
        other = self._other()
        line = None if other else line_of(entry, self._links[self._place].seq)
        none = other or "the log does not hold it; the words above are from the folded state"
        fields.update(fields_of(line) if line else none)

    def _line(self, place: int, link: Link) -> Content:
        here = place == self._place
        because = "" if not place else "   because\n" if link.what != "miss" else "   which had been hurt itself\n"
        when = time_of_day(link.t_ns) if link.t_ns else "?"
        style = "bold on $primary-muted" if here else ""
        return Content.assemble(
            (because, "$text-muted"),
            (f"{SIGNS.get(link.what, ' ')} {when:<10} ", "bold $accent"),
            (f"{link.what:<8}  {link.text}", style),
        )


def line_of(entry: NodeState, seq: int) -> LogLine | None:
    """The event with this number, if the log still holds it."""
    return next((line for line in entry.log if line.seq == seq), None) if seq >= 0 else None
