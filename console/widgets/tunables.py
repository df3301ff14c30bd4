"""The tunables of policies as sliders in a table, wherever they can be changed."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.binding import Binding
from textual.message import Message

from radixdeck.daemon.wire import PolicyInfo, TunableInfo

from ..slider import place_of, stepped, value_at
from ..words import bar
from .table import Cell, Column, SyncTable

BAR_WIDTH = 13
SLIDER = ""
"""Title of the column with the bar."""
TUNABLE_COLUMNS = (
    Column("policy", 12, least=74),
    Column("tunable", 15),
    Column("value", 8, right=True),
    Column("low", 7, right=True),
    Column(SLIDER, BAR_WIDTH),
    Column("high", 7, right=True),
    Column("default", 8, right=True, least=100),
    Column("unit", 8, least=100),
    Column("meaning", 0, least=110),
)


def tunable_row(policy: PolicyInfo, tunable: TunableInfo, pending: float | None) -> list[Cell]:
    """`pending`: a value sent and not confirmed yet, marked with an arrow."""
    value = tunable.value if pending is None else pending
    changed = "" if tunable.value == tunable.default else "~"
    return [
        policy.name,
        tunable.name,
        f"{'→' if pending is not None else changed} {value:.4g}",
        f"{tunable.low:.4g}",
        bar(place_of(tunable, value), BAR_WIDTH),
        f"{tunable.high:.4g}",
        f"{tunable.default:.4g}",
        tunable.unit,
        tunable.doc,
    ]


class TunablesTable(SyncTable):
    """Left and right change the value under the cursor by a step, a click on a bar sets what stands there."""

    BINDINGS = [
        Binding("enter", "select_cursor", "type", tooltip="type a value", id="view.type"),
        Binding("left,h", "change(-1)", "less", key_display="←", tooltip="a step less", id="view.less"),
        Binding("right,l", "change(1)", "more", key_display="→", tooltip="a step more", id="view.more"),
        Binding("backspace", "reset", "default", tooltip="back to its default", id="view.default"),
    ]
    help_text = (
        "Left and right change by a step, a click on the bar sets the value there, enter types a value, backspace "
        "gives the default."
    )

    class Changed(Message):
        """The value under the cursor should become what `wanted` makes of the tunable and its value now."""

        def __init__(self, wanted: Callable[[TunableInfo, float], float]) -> None:
            super().__init__()
            self.wanted = wanted

    def on_click(self, event: events.Click) -> None:
        """On a bar it is no choice of a row, for which a second click types a value."""
        row, column = event.style.meta.get("row", -1), event.style.meta.get("column", -1)
        offset = event.get_content_offset(self)
        if offset is None or row < 0 or column < 0 or self.title_of(column) != SLIDER:
            return
        before = sum(one.get_render_width(self) for one in self.ordered_columns[:column])
        cell = offset.x + self.scroll_offset.x - before - self.cell_padding
        event.prevent_default()
        self.move_cursor(row=row, animate=False)
        self.post_message(self.Changed(lambda tunable, _: value_at(tunable, cell / (BAR_WIDTH - 1))))

    def action_change(self, steps: int) -> None:
        self.post_message(self.Changed(lambda tunable, value: stepped(tunable, value, steps)))

    def action_reset(self) -> None:
        self.post_message(self.Changed(lambda tunable, _: tunable.default))
