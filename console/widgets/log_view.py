"""The event log as lines drawn only when seen: follows the end, or stands still on the line under the cursor."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import cast

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..event_log import ROUTINE, LogLine
from ..words import clip, time_of_day
from .ends import list_keys
from .same_title import SameTitle

SIGNS: dict[str, tuple[str, str]] = {
    "node_evicted": ("-", "#e8684a"),
    "node_added": ("+", "#35b98e"),
    "prefix_matched": (">", "#56b4e9"),
    "engine_started": ("^", "#35b98e"),
    "engine_lost": ("!", "#e8684a"),
    "policy_failed": ("!", "#e8684a"),
    "request_refused": ("!", "#e69f00"),
    "request_held": ("*", "#f0c94c"),
    "events_dropped": ("!", "#e69f00"),
    "action_taken": ("*", "#f0c94c"),
    "command_received": ("*", "#f0c94c"),
    "policy_switched": ("*", "#f0c94c"),
    "tunable_changed": ("*", "#f0c94c"),
}
OTHER_SIGN = (" ", "#9aa5b1")
PLAIN = "#d8dee6"
FAINT = "#7d8894"
CURSOR_GROUND = Color.parse("#35506b")
FOUND_GROUND = Color.parse("#f0c94c")


@lru_cache(maxsize=256)
def _inked(colour: str, ground: Color | None, *, bold: bool = False) -> Style:
    return Style(color=colour or None, bgcolor=ground, bold=bold or None)


class LogView(SameTitle, ScrollView, can_focus=True):
    """One line per event. Following is left by moving up or by pausing, and taken up again at the end."""

    BINDINGS = [*list_keys("move(-1)", "move(1)", "page(-1)", "page(1)", "to the end, and follow it")]
    help_text = (
        "- evicted, + added, > looked up, * ordered by somebody, ! went wrong. Arrows or j k move; end follows what "
        "comes. The panel below shows everything the selected event says."
    )

    class LineSelected(Message):
        """Another line is under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[LogLine] = []
        self._found: list[int] = []
        self._query = ""
        self._style, self._width = Style.null(), 0
        self.cursor = 0
        self.following = True

    @property
    def lines(self) -> list[LogLine]:
        """What is listed now."""
        return self._lines

    @property
    def selected(self) -> LogLine | None:
        return self._lines[self.cursor] if 0 <= self.cursor < len(self._lines) else None

    def show(self, lines: list[LogLine], query: str) -> None:
        """Show these lines; `query` is marked in them. The cursor stays on its event."""
        kept = self.selected
        self._lines, self._query = lines, query.lower().strip()
        self._found = [n for n, line in enumerate(lines) if self._query and line.matches(self._query)]
        if self.following or kept is None:
            self.cursor = max(0, len(lines) - 1)
        else:
            self.cursor = min(bisect_left(lines, kept.seq, key=lambda line: line.seq), max(0, len(lines) - 1))
        self._hold(Size(1, len(lines)))
        self._reveal(tell=False)

    def _hold(self, size: Size) -> None:
        """Take this size. Set as any reactive it would lay out the whole screen, at every frame of a busy log."""
        if size != self.virtual_size:
            self.set_reactive(cast("Reactive[Size]", LogView.virtual_size), size)
            self._scroll_update(size)

    def find(self, direction: int) -> bool:
        """To the next line with the query, round the end; False if there is none."""
        if not self._found:
            return False
        ahead = [n for n in self._found if (n - self.cursor) * direction > 0]
        self._go((ahead or self._found)[0 if direction > 0 else -1])
        return True

    def go_to(self, seq: int) -> None:
        """Put the cursor on the event with this number, or the next one there is, and stay there."""
        self._go(bisect_left(self._lines, seq, key=lambda line: line.seq))
        self.following = False

    def action_move(self, lines: int) -> None:
        self._go(self.cursor + lines)

    def action_page(self, pages: int) -> None:
        self._go(self.cursor + pages * max(1, self.size.height - 1))

    def action_ends(self, direction: int) -> None:
        self._go(0 if direction < 0 else len(self._lines) - 1)
        self.following = direction > 0

    def on_click(self, event: events.Click) -> None:
        self._go(event.y + self.scroll_offset.y)

    def render_lines(self, crop: Region) -> list[Strip]:
        # What Textual works out anew whenever it is asked, once for all lines.
        self._style, self._width = self.rich_style, self.scrollable_content_region.width
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        number, width = y + self.scroll_offset.y, self._width
        if number >= len(self._lines):
            return Strip.blank(width, self._style)
        line = self._lines[number]
        ground = CURSOR_GROUND if number == self.cursor and self.has_focus else self._style.bgcolor
        sign, colour = SIGNS.get(line.kind, OTHER_SIGN)
        segments = [
            Segment(f"{time_of_day(line.t_ns)} ", _inked(FAINT, ground)),
            Segment(f"{sign} ", _inked(colour, ground, bold=True)),
            *self._words(clip(line.text, max(10, width - 13)), line.kind, ground),
        ]
        return Strip(segments).adjust_cell_length(width, _inked("", ground))

    def _words(self, text: str, kind: str, ground: Color | None) -> list[Segment]:
        """The sentence, with the query in it marked."""
        plain = _inked(FAINT if kind in ROUTINE else PLAIN, ground)
        place = text.lower().find(self._query) if self._query else -1
        if place < 0:
            return [Segment(text, plain)]
        end = place + len(self._query)
        found = _inked("#10141a", FOUND_GROUND, bold=True)
        return [Segment(text[:place], plain), Segment(text[place:end], found), Segment(text[end:], plain)]

    def _go(self, number: int) -> None:
        self.cursor = max(0, min(len(self._lines) - 1, number))
        self.following = self.cursor >= len(self._lines) - 1
        self._reveal()

    def _reveal(self, *, tell: bool = True) -> None:
        """Scroll as little as brings the cursor into sight. Who shows lines knows that another one is selected."""
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)
        self.refresh()
        if tell:
            self.post_message(self.LineSelected())
