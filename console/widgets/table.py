"""A DataTable that is told its whole content and changes only what differs, with columns that fit the width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text
from textual.binding import Binding
from textual.widgets import DataTable

Cell = str | Text
Rows = Sequence[tuple[str, Sequence[Cell]]]


class Column(NamedTuple):
    """`width` in characters; 0: takes what the others leave. `least`: hidden while the table is narrower than that."""

    title: str
    width: int
    right: bool = False
    least: int = 0


class SyncTable(DataTable[Text]):
    """Row keys are the caller's; the cursor stays on its row when rows move."""

    BINDINGS = [
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
        Binding("home", "ends(-1)", show=False),
        Binding("end", "ends(1)", show=False),
    ]

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, cell_padding=1, header_height=1)
        self._declared = tuple(columns)
        self._shown: tuple[int, ...] = ()
        self._rows: Rows = ()
        self._laid_out = 0

    @property
    def selected(self) -> str:
        """Key of the row under the cursor, '' if there is none."""
        keys = [key for key, _ in self._rows]
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else ""

    def sync(self, rows: Rows) -> None:
        """Show these rows in this order."""
        if not self._laid_out:
            self._rows = rows
        elif [key for key, _ in rows] == [key for key, _ in self._rows]:
            self._update_cells(rows)
        else:
            self._replace(rows)

    def content(self) -> tuple[list[str], list[list[str]]]:
        """Every column's title, the hidden ones too, and every row, as plain text."""
        rows = [[cell.plain if isinstance(cell, Text) else cell for cell in cells] for _, cells in self._rows]
        return [column.title for column in self._declared], rows

    def row_words(self) -> str:
        """The row under the cursor as 'title: value; ...', without what is empty."""
        titles, rows = self.content()
        if not 0 <= self.cursor_row < len(rows):
            return ""
        told = zip(titles, rows[self.cursor_row], strict=True)
        return "; ".join(
            f"{title}: {value.strip()}" if title else value.strip() for title, value in told if value.strip()
        )

    def action_ends(self, direction: int) -> None:
        """To the first or the last row."""
        self.move_cursor(row=0 if direction < 0 else max(0, self.row_count - 1), animate=False)

    def title_of(self, place: int) -> str:
        """Title of the column at a place of the table as it is shown now."""
        return self._declared[self._shown[place]].title

    def on_resize(self) -> None:
        width = self.scrollable_content_region.width
        if width and width != self._laid_out:
            self._lay_out(width)

    def _lay_out(self, width: int) -> None:
        self._laid_out = width
        self._shown = tuple(place for place, column in enumerate(self._declared) if column.least <= width)
        shown = [self._declared[place] for place in self._shown]
        left = width - sum(column.width + 2 for column in shown)
        self.clear(columns=True)
        for place, column in zip(self._shown, shown, strict=True):
            title = Text(column.title, justify="right" if column.right else "left")
            self.add_column(title, key=str(place), width=column.width or max(8, left))
        rows, self._rows = self._rows, ()
        self._replace(rows)

    def _replace(self, rows: Rows) -> None:
        kept = self.selected
        row = self.cursor_row
        self.clear()
        for key, cells in rows:
            self.add_row(*(self._text(place, cells[place]) for place in self._shown), key=key)
        self._rows = rows
        keys = [key for key, _ in rows]
        if keys:
            self.move_cursor(row=keys.index(kept) if kept in keys else min(row, len(keys) - 1), animate=False)

    def _update_cells(self, rows: Rows) -> None:
        for (key, old), (_, new) in zip(self._rows, rows, strict=True):
            for place in self._shown:
                if old[place] != new[place]:
                    self.update_cell(key, str(place), self._text(place, new[place]))
        self._rows = rows

    def _text(self, place: int, cell: Cell) -> Text:
        text = cell.copy() if isinstance(cell, Text) else Text(cell)
        text.no_wrap, text.overflow = True, "ellipsis"
        text.justify = "right" if self._declared[place].right else "left"
        return text
