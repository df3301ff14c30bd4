"""The tunables of policies as sliders in a table, wherever they can be changed."""

from __future__ import annotations

from textual.binding import Binding
from textual.message import Message

from radixdeck.daemon.wire import PolicyInfo, TunableInfo

from ..slider import place_of
from ..words import bar
from .table import Cell, Column, SyncTable

TUNABLE_COLUMNS = (
    Column("policy", 12, least=74),
    Column("tunable", 15),
    Column("value", 8, right=True),
    Column("low", 7, right=True),
    Column("", 13),
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
        bar(place_of(tunable, value), 13),
        f"{tunable.high:.4g}",
        f"{tunable.default:.4g}",
        tunable.unit,
        tunable.doc,
    ]


class TunablesTable(SyncTable):
    """Left and right change the value under the cursor by a step."""

    BINDINGS = [
        Binding("enter", "select_cursor", "type", tooltip="type a value", id="view.type"),
        Binding("left,h", "change(-1)", "less", key_display="←", tooltip="a step less", id="view.less"),
        Binding("right,l", "change(1)", "more", key_display="→", tooltip="a step more", id="view.more"),
        Binding("backspace", "reset", "default", tooltip="back to its default", id="view.default"),
    ]
    help_text = "Left and right change by a step, enter types a value, backspace gives the default."

    class Changed(Message):
        """The value under the cursor should move by `steps`; None: back to its default."""

        def __init__(self, steps: int | None) -> None:
            super().__init__()
            self.steps = steps

    def action_change(self, steps: int) -> None:
        self.post_message(self.Changed(steps))

    def action_reset(self) -> None:
        self.post_message(self.Changed(None))
