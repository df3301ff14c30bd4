"""Over any screen: what operators did, from this console or another, and one key that undoes it where it can be."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Static

from ..acting import give
from ..fleet_state import NodeState
from ..operator_log import Done, Target, newest_of, standing, undo
from ..widgets.panel import Panel
from ..widgets.table import Cell, Column, SyncTable
from ..words import printable, time_of_day
from .base import DeckScreen, back_key

COLUMNS = (
    Column("when", 10),
    Column("who", 12, least=70),
    Column("what", 30),
    Column("holds", 10),
    Column("why", 0, least=100),
)


class OrdersTable(SyncTable):
    """Enter and u undo the action under the cursor."""

    BINDINGS = [
        Binding("enter,u", "select_cursor", "undo", key_display="⏎", tooltip="undo this action", id="view.undo"),
    ]


class OrdersScreen(DeckScreen):
    """Newest first. `mode`: the screen it was opened on."""

    help_text = (
        "Every action of an operator in this run as the events tell it, also those of other consoles and of scripts: "
        "who, when, what, whether it still holds, and why. enter undoes the one under the cursor: pins, retains, "
        "boosts, quarantines, tunables and switches of policies. What was evicted or flushed is gone, and it says so. "
        "What was in force before this console came has no name and no time."
    )
    ordering = frozenset(("view.undo",))
    BINDINGS = [back_key(keys="escape")]

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._opened_from = mode

    @property
    def shown_mode(self) -> str:
        return self._opened_from

    def body(self) -> Iterable[Widget]:
        yield OrdersTable(COLUMNS, id="orders")
        yield Panel(id="orders-words", markup=False)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        listed = entry.orders.listed(entry.run)
        table = self.query_one("#orders", OrdersTable)
        table.border_title = "what operators did"
        newest = newest_of(listed)
        table.sync([(key_of_done(done), _row(done, entry, newest)) for done in listed])
        self._show_words(entry, listed)

    def on_data_table_row_highlighted(self) -> None:
        if self.entry is not None:
            self._show_words(self.entry, self.entry.orders.listed(self.entry.run))

    def on_data_table_row_selected(self) -> None:
        """Undo what is under the cursor, as far as the events heard until now say that it holds."""
        entry = self.entry
        listed = entry.orders.listed(entry.run) if entry is not None else []
        done = self._selected(listed)
        if entry is None or done is None:
            return
        order, why = undo(done, entry.run, newest_of(listed))
        if order is None:
            self.notify(printable(why), severity="warning", timeout=6, markup=False)
            return
        give(self.deck, [order._replace(why=f"undoes '{done.words}' of {done.by or 'before'}")])

    def _selected(self, listed: list[Done]) -> Done | None:
        selected = self.query_one("#orders", OrdersTable).selected
        return next((done for done in listed if key_of_done(done) == selected), None)

    def _show_words(self, entry: NodeState, listed: list[Done]) -> None:
        panel = self.query_one("#orders-words", Static)
        done = self._selected(listed)
        if done is None:
            panel.update("no operator has done anything in what this console has heard")
            return
        order, why = undo(done, entry.run, newest_of(listed))
        said = f" ({done.said})" if done.said and done.ok else ""
        ahead = why if order is None else f"{self.key('view.undo', 'enter')} would {order.words}"
        why = f", because: {done.why}" if done.why and not self.has_class("-wide") else ""
        panel.update(printable(f"{done.words}{said}{why}: {ahead}"))


def key_of_done(done: Done) -> str:
    """A row's key; what came before the console has no number of its own."""
    return f"{done.seq} {done.kind} {done.agent} {done.node}"


def _row(done: Done, entry: NodeState, newest: dict[Target, Done]) -> list[Cell]:
    holds = standing(done, entry.run, newest)
    cell = Text(holds.partition(":")[0], style="bold" if holds == "in force" else "")
    why = done.why if done.ok else done.said
    when = time_of_day(done.t_ns) if done.t_ns else "-"
    return [when, printable(done.by) or "-", printable(done.words), cell, printable(why)]
