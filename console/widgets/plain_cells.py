"""Cells of a DataTable that are one line of text in one style, drawn as that.

Textual draws a cell as any rich renderable, and all of them anew when one changes, at about 0.1 ms each: most of what a
table costs whose numbers move. Styles are worked out as DataTable does, and kept.
"""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.coordinate import Coordinate
from textual.widgets import DataTable

MOST_STYLES = 4_096
ELLIPSIS = "…"


class _Look(NamedTuple):
    """What decides how a cell is drawn, beside its text."""

    row: int
    column: int
    base: Style
    own: str | Style
    cursor: bool
    focused: bool
    theme: str


class PlainCells(DataTable[Text]):
    """To be a table's base. Cells of several styles or lines, and one under the mouse, are left to DataTable."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, cell_padding=1, header_height=1)
        self._looks: dict[_Look, tuple[Style, Style]] = {}

    def _render_cell(
        self,
        row_index: int,
        column_index: int,
        base_style: Style,
        width: int,
        cursor: bool = False,
        hover: bool = False,
    ) -> list[list[Segment]]:
        header = row_index < 0
        cell = (
            self.ordered_columns[column_index].label
            if header
            else self.get_cell_at(Coordinate(row_index, column_index))
        )
        if cell.spans or "\n" in cell.plain or hover:
            return super()._render_cell(row_index, column_index, base_style, width, cursor, hover)
        theme = self.app.theme
        look = _Look(row_index, column_index, base_style, cell.style, cursor, self.has_focus, theme)
        around, style = self._looks.get(look) or self._worked_out(look)
        blank = Segment(" ", around)
        return [[blank, Segment(fitted(cell.plain, width - 2, right=cell.justify == "right"), style), blank]]

    def _worked_out(self, look: _Look) -> tuple[Style, Style]:
        """Of the blank on either side of a cell, and of its text."""
        highlight, after = self._get_styles_to_render_cell(
            look.row < 0, False, False, False, look.cursor, self.show_cursor, self._show_hover_cursor,
            self.cursor_foreground_priority == "css", self.cursor_background_priority == "css",
        )  # fmt: skip
        meta = Style.from_meta({"row": look.row, "column": look.column})
        before = look.base + meta + highlight
        own = look.own if isinstance(look.own, Style) else self.app.console.get_style(look.own or "none")
        if len(self._looks) >= MOST_STYLES:
            self._looks.clear()
        found = self._looks[look] = before + after, before + own + after
        return found


def fitted(text: str, width: int, *, right: bool) -> str:
    """`text` in so many cells, cut with an ellipsis if it is longer."""
    text = text.rstrip()
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + ELLIPSIS[:width]
    return " " * (width - length) + text if right else text + " " * (width - length)
