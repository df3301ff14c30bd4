"""Text that is longer than the window, of which only the rows in sight are drawn: a Static would draw all of it."""

from __future__ import annotations

import asyncio

from rich.cells import cell_len, get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from .ends import list_keys

AT_ONCE = 50_000
"""Characters that are broken into rows within a frame or two; more take a thread, and keys work meanwhile."""


def rows_of(text: str, width: int) -> list[str]:
    """The text in rows of at most `width` cells, broken between words where a row has any."""
    rows: list[str] = []
    for line in text.split("\n"):
        if len(line) <= width and line.isascii():
            rows.append(line)
        else:
            rows += _rows(line, max(1, width))
    return rows


def _rows(line: str, width: int) -> list[str]:
    rows: list[str] = []
    start = 0
    while not _fits(line, start, width):
        end = start + _fitting(line[start : start + width], width)
        gap = line.rfind(" ", start, end + 1)
        # What only indents a long word is no place to break at.
        broken = gap > start and not line[start:gap].isspace()
        rows.append(line[start : gap if broken else end])
        start = gap + 1 if broken else end
    return rows if rows and start >= len(line) else [*rows, line[start:]]


def _fits(line: str, start: int, width: int) -> bool:
    return len(line) - start <= width and cell_len(line[start:]) <= width


def _fitting(text: str, width: int) -> int:
    """How many characters have room, one at least."""
    if text.isascii():
        return len(text)
    used = 0
    for place, character in enumerate(text):
        used += get_character_cell_size(character)
        if used > width:
            return max(1, place)
    return len(text)


class TextScroll(ScrollView, can_focus=True):
    """Plain text, already without what steers a terminal."""

    # With room for the scrollbar from the start: rows that were broken without it would lie under it.
    DEFAULT_CSS = "TextScroll { overflow-x: hidden; scrollbar-gutter: stable; }"
    BINDINGS = [*list_keys("scroll_up", "scroll_down", "page_up", "page_down")]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text, self._rows, self._folded_at = "", list[str](), 0
        self._style, self._width = Style.null(), 0

    def show(self, text: str) -> None:
        """Another text, from its beginning; the same one stays where it is."""
        if text != self._text:
            self._text, self._folded_at = text, 0
            self._lay([])
            self._fold()

    def on_resize(self) -> None:
        self._fold()

    def action_ends(self, direction: int) -> None:
        if direction < 0:
            self.scroll_home(animate=False)
        else:
            self.scroll_end(animate=False)

    def render_lines(self, crop: Region) -> list[Strip]:
        # What Textual works out anew whenever it is asked, once for all rows.
        self._style, self._width = self.rich_style, self.scrollable_content_region.width
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        row = self._rows[number] if number < len(self._rows) else ""
        return Strip([Segment(row, self._style)]).adjust_cell_length(self._width, self._style)

    def _fold(self) -> None:
        """Break the text anew where the width is another one; about the same place stays in sight."""
        width = self.scrollable_content_region.width
        if width in (0, self._folded_at):
            return
        self._folded_at = width
        if len(self._text) <= AT_ONCE:
            self._lay(rows_of(self._text, width))
        else:
            self.run_worker(self._fold_aside(self._text, width), exclusive=True)

    async def _fold_aside(self, text: str, width: int) -> None:
        rows = await asyncio.to_thread(rows_of, text, width)
        if text is self._text and width == self._folded_at:
            self._lay(rows)

    def _lay(self, rows: list[str]) -> None:
        """Show these rows, from about the same place on."""
        before, top = max(1, len(self._rows)), self.scroll_offset.y
        self._rows = rows
        self.virtual_size = Size(self._folded_at, len(rows))
        self.scroll_to(y=top * len(rows) // before, animate=False)
        self.refresh()
