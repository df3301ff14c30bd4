"""The tunables of policies as sliders in a table, wherever they can be changed."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from textual import events
from textual.binding import Binding
from textual.message import Message

from radixdeck.daemon.wire import PolicyInfo, TunableInfo

from ..slider import place_of, stepped, value_at
from ..words import bar, rounded
from .table import Cell, Column, SyncTable

BAR_WIDTH = 13
SLIDER = ""
"""Title of the column with the bar."""
TUNABLE_COLUMNS = (
    Column("policy", 12, least=74),
    Column("tunable", 15),
    Column("value", 8, right=True),
    Column("low", 7, right=True, least=60),
    Column(SLIDER, BAR_WIDTH),
    Column("high", 7, right=True),
    Column("default", 8, right=True, least=100),
    Column("unit", 8, least=100),
    Column("meaning", 0, least=110),
)
SENT, HELD, CHANGED = "→", "↔", "~"
"""Before a value: not confirmed yet, under the mouse and not sent, and not the default."""
LEFT = 1
"""The button of the mouse that takes hold."""


class Slider(NamedTuple):
    """A tunable as a row. `pending`: a value sent and not confirmed yet, or to be tried beside the one in force."""

    key: str
    policy: PolicyInfo
    tunable: TunableInfo
    pending: float | None = None

    @property
    def value(self) -> float:
        return self.tunable.value if self.pending is None else self.pending

    def cells(self, held: float | None = None) -> list[Cell]:
        """`held`: what it would be if the mouse were released now."""
        tunable, value = self.tunable, self.value if held is None else held
        changed = "" if tunable.value == tunable.default else CHANGED
        sign = HELD if held is not None else SENT if self.pending is not None else changed
        return [
            self.policy.name,
            tunable.name,
            f"{sign} {rounded(value)}",
            rounded(tunable.low),
            bar(place_of(tunable, value), BAR_WIDTH),
            rounded(tunable.high),
            rounded(tunable.default),
            tunable.unit,
            tunable.doc,
        ]


class TunablesTable(SyncTable):
    """Left and right change the value under the cursor by a step; the mouse takes hold of a bar, shows what stands
    under it, and sets that where it is released. `barred`: asked first; whoever says yes has told why."""

    BINDINGS = [
        Binding("enter", "select_cursor", "type", tooltip="type a value", id="view.type"),
        Binding("left,h", "change(-1)", "less", key_display="←", tooltip="a step less", id="view.less"),
        Binding("right,l", "change(1)", "more", key_display="→", tooltip="a step more", id="view.more"),
        Binding("backspace", "reset", "default", tooltip="back to its default", id="view.default"),
    ]
    help_text = (
        "Left and right change by a step, enter types a value, backspace gives the default. A click on the bar sets "
        f"the value there; dragged along the bar, {HELD} marks what it would become, and it is set where the button "
        "is released, once. Escape or another key, and a release outside of the table, leave it as it was."
    )

    class Changed(Message):
        """The tunable of a row should become what `wanted` makes of it and its value by then."""

        def __init__(self, key: str, wanted: Callable[[TunableInfo, float], float]) -> None:
            super().__init__()
            self.key, self.wanted = key, wanted

    def __init__(self, *, id: str, barred: Callable[[], bool] = lambda: False) -> None:
        super().__init__(TUNABLE_COLUMNS, id=id)
        self._barred = barred
        self._sliders: dict[str, Slider] = {}
        self._dragged = ""
        """Key of the one that the mouse has hold of."""
        self._held: float | None = None
        """What it would become; None while the mouse is outside."""
        self._taken = False
        """Whether the button went down on a bar: then its release chooses no row."""

    def show(self, sliders: Sequence[Slider]) -> None:
        """Show these, and of one that the mouse has hold of what it would become."""
        self._sliders = {slider.key: slider for slider in sliders}
        if self._dragged and self._dragged not in self._sliders:
            self._let_go()
        else:
            self._draw()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of a bar. Where one is held still, its release was not reported, or this is another button."""
        if self._dragged:
            self._let_go()
        row = self._bar_at(event) if self._is_inside(event) else -1
        self._taken = row >= 0
        if row < 0 or event.button != LEFT or self._barred():
            return
        self.move_cursor(row=row, animate=False)
        self._dragged = self.selected
        self.capture_mouse()
        self._hold(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Without the button its release was not reported, as after a switch to another window."""
        if not self._dragged:
            return
        if event.button != LEFT:
            self._let_go()
            return
        event.prevent_default()
        self._hold(event)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if not self._dragged or event.button != LEFT:
            return
        self._hold(event)
        key, value = self._dragged, self._held
        self._let_go()
        if value is not None:
            self.post_message(self.Changed(key, lambda _tunable, _value: value))

    def on_click(self, event: events.Click) -> None:
        """On a bar it is no choice of a row, for which a second click types a value."""
        if self._taken:
            event.prevent_default()

    def on_key(self, event: events.Key) -> None:
        """Escape lets go and does nothing else then."""
        if self._dragged:
            self._let_go()
            if event.key == "escape":
                event.stop()
                event.prevent_default()

    def on_mouse_release(self) -> None:
        """Somebody else took the mouse."""
        if self._dragged and self.app.mouse_captured is not self:
            self._let_go()

    def action_change(self, steps: int) -> None:
        self.post_message(self.Changed(self.selected, lambda tunable, value: stepped(tunable, value, steps)))

    def action_reset(self) -> None:
        self.post_message(self.Changed(self.selected, lambda tunable, _: tunable.default))

    def _bar_at(self, event: events.MouseEvent) -> int:
        """The row whose bar is under the mouse, -1 for none."""
        row, column = event.style.meta.get("row", -1), event.style.meta.get("column", -1)
        return row if row >= 0 and column >= 0 and self.title_of(column) == SLIDER else -1

    def _is_inside(self, event: events.MouseEvent) -> bool:
        """While the mouse is captured it may be anywhere."""
        return (event.x, event.y) in self.outer_size.region

    def _hold(self, event: events.MouseEvent) -> None:
        """Show what it would become: the end of the bar beyond it, and what it was outside the table."""
        titles = [self.title_of(column) for column in range(len(self.ordered_columns))]
        before = sum(one.get_render_width(self) for one in self.ordered_columns[: titles.index(SLIDER)])
        cell = event.x - self.gutter.left + self.scroll_offset.x - before - self.cell_padding
        tunable = self._sliders[self._dragged].tunable
        self._held = value_at(tunable, cell / (BAR_WIDTH - 1)) if self._is_inside(event) else None
        self._draw()

    def _let_go(self) -> None:
        self._dragged, self._held = "", None
        self.release_mouse()
        self._draw()

    def _draw(self) -> None:
        rows = self._sliders.items()
        self.sync([(key, one.cells(self._held if key == self._dragged else None)) for key, one in rows])
