"""A DataTable that is told its whole content and changes only what differs, with columns that fit the width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text
from textual.widgets import DataTable

from .ends import list_keys
from .plain_cells import PlainCells
from .same_title import SameTitle

Cell = str | Text
Rows = Sequence[tuple[str, Sequence[Cell]]]

MANY = 32
"""To take out one row costs as much as is in the table: more than so many at once, and it is filled anew."""


class Column(NamedTuple):
    """`width` in characters; 0: takes what the others leave. `least`: hidden while the table is narrower than that."""

    title: str
    width: int
    right: bool = False
    least: int = 0


class SyncTable(SameTitle, PlainCells):
    """Keys are the caller's; the cursor stays on its key when rows move.

    Underneath, a row is a place: to draw rows in another order is to change cells. Where they are taken out and put in,
    Textual lays out the whole screen anew, which costs more than all drawing.
    """

    BINDINGS = [*list_keys("cursor_up", "cursor_down", "page_up", "page_down")]

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._declared = tuple(columns)
        self._shown: tuple[int, ...] = ()
        self._rows: Rows = ()
        self._laid_out = 0

    @property
    def selected(self) -> str:
        """Key of the row under the cursor, '' if there is none."""
        row = self.cursor_row
        return self._rows[row][0] if 0 <= row < len(self._rows) else ""

    def sync(self, rows: Rows) -> None:
        """Show these rows in this order."""
        kept, row, old = self.selected, self.cursor_row, self._rows
        self._rows = rows
        if not self._laid_out:
            return
        self._add(rows, len(old))
        if len(old) - len(rows) > MANY:
            self.clear()
            self._add(rows)
        else:
            for place in range(len(rows), len(old)):
                self.remove_row(str(place))
            self._update_cells(old, rows)
        keys = [key for key, _ in rows]
        if keys:
            self.move_cursor(row=keys.index(kept) if kept in keys else min(row, len(keys) - 1), animate=False)

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

    def _post_selected_message(self) -> None:
        """Textual's own message names a place."""
        if self.row_count:
            self.post_message(RowSelected(self))

    def _lay_out(self, width: int) -> None:
        self._laid_out, cursor = width, self.cursor_row
        self._shown = tuple(place for place, column in enumerate(self._declared) if column.least <= width)
        shown = [self._declared[place] for place in self._shown]
        left = width - sum(column.width + 2 for column in shown)
        self.clear(columns=True)
        for place, column in zip(self._shown, shown, strict=True):
            title = Text(column.title, justify="right" if column.right else "left")
            self.add_column(title, key=str(place), width=column.width or max(8, left))
        self._add(self._rows)
        if self._rows:
            self.move_cursor(row=min(cursor, len(self._rows) - 1), animate=False)

    def _add(self, rows: Rows, first: int = 0) -> None:
        for place in range(first, len(rows)):
            self.add_row(*self._texts(rows[place][1]), key=str(place))

    def _update_cells(self, old: Rows, new: Rows) -> None:
        """Change what differs in the rows that both have."""
        for row, ((_, before), (_, now)) in enumerate(zip(old, new, strict=False)):
            for place in self._shown:
                if before[place] != now[place]:
                    self.update_cell(str(row), str(place), self._text(place, now[place]))

    def _texts(self, cells: Sequence[Cell]) -> list[Text]:
        return [self._text(place, cells[place]) for place in self._shown]

    def _text(self, place: int, cell: Cell) -> Text:
        text = cell.copy() if isinstance(cell, Text) else Text(cell)
        text.no_wrap, text.overflow = True, "ellipsis"
        text.justify = "right" if self._declared[place].right else "left"
        return text


class RowSelected(DataTable.RowSelected, namespace="data_table"):
    """Says whose row it was, since there may be another one in its place once the message is handled."""

    def __init__(self, table: SyncTable) -> None:
        row_key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key
        super().__init__(table, table.cursor_row, row_key)  # pyright: ignore[reportUnknownMemberType]
        self.key = table.selected


def selected_key(event: DataTable.RowSelected) -> str:
    """Key of the row that was selected."""
    return event.key if isinstance(event, RowSelected) else ""
