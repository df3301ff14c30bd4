"""The table that is told its whole content: drawn as Textual draws it, without laying out the screen for an order."""

from __future__ import annotations

import pytest
from rich.segment import Segment
from rich.text import Text
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.widgets import DataTable

from radixdeck.console.widgets.plain_cells import PlainCells, fitted
from radixdeck.console.widgets.same_title import SameTitle
from radixdeck.console.widgets.table import Column, Rows, SyncTable, selected_key

COLUMNS = [Column("name", 10), Column("number", 8, right=True), Column("what", 0)]
ROWS: Rows = [
    ("a", ["alpha", "1", Text("red", style="bold red")]),
    ("b", ["a name that is much too long", "22", "漢字"]),
    ("c", ["漢字漢字漢字漢字", "333,333,333,333", Text("mixed").append(" styles", style="on blue")]),
    ("d", ["", "", Text("on ground", style="#10141a on #e6c84b")]),
]


class Page(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.chosen: list[str] = []

    def compose(self) -> ComposeResult:
        yield SyncTable(COLUMNS, id="table")

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        self.chosen.append(selected_key(event))

    @property
    def table(self) -> SyncTable:
        return self.query_one(SyncTable)


def drawn(table: SyncTable) -> list[list[tuple[str, str]]]:
    """Every line as (text, style) without the ends' padding split up."""
    lines = table.render_lines(table.size.region)
    return [[(text, str(style)) for text, style, _ in Segment.simplify(line)] for line in lines]


@pytest.mark.parametrize("focused", [True, False])
async def test_cells_look_as_textual_draws_them(focused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Page().run_test(size=(50, 12)) as pilot:
        page = pilot.app
        assert isinstance(page, Page)
        page.table.sync(ROWS)
        await pilot.press("j")
        if not focused:
            page.set_focus(None)
        await pilot.pause()
        ours = drawn(page.table)
        monkeypatch.delattr(PlainCells, "_render_cell")
        page.table.notify_style_update()
        page.table.refresh()
        await pilot.pause()
        assert ours == drawn(page.table)
        assert "a name th…" in str(ours)


async def test_rows_in_another_order_are_drawn_without_a_layout_and_the_cursor_goes_along() -> None:
    async with Page().run_test(size=(50, 12)) as pilot:
        page = pilot.app
        assert isinstance(page, Page)
        page.table.sync(ROWS)
        await pilot.press("j", "j")
        await pilot.pause()
        assert page.table.selected == "c"
        size, rows = page.table.virtual_size, list(page.table.rows)
        page.table.sync([ROWS[2], ROWS[0], ROWS[3], ROWS[1]])
        await pilot.pause()
        assert (page.table.virtual_size, list(page.table.rows)) == (size, rows)
        assert (page.table.selected, page.table.cursor_row) == ("c", 0)
        await pilot.press("enter")
        page.table.sync([ROWS[0], ROWS[3]])
        await pilot.pause()
        assert (page.table.row_count, page.table.selected) == (2, "a")
        await pilot.press("enter")
        page.table.sync([*ROWS, ("e", ["echo", "5", ""])])
        await pilot.press("end", "enter")
        assert page.chosen == ["c", "a", "e"]
        page.table.sync([])
        await pilot.pause()
        assert (page.table.row_count, page.table.selected) == (0, "")


async def test_what_was_selected_is_meant_even_if_its_row_has_moved_since() -> None:
    async with Page().run_test(size=(50, 12)) as pilot:
        page = pilot.app
        assert isinstance(page, Page)
        page.table.sync(ROWS)
        await pilot.press("j")
        for rows in ([ROWS[3], ROWS[2], ROWS[1], ROWS[0]], [ROWS[0]]):
            page.table.action_select_cursor()
            page.table.sync(rows)
            await pilot.pause()
        assert page.chosen == ["b", "b"]
        await pilot.click(page.table, offset=(4, 1))
        assert page.chosen == ["b", "b", "a"]
        page.table.sync([])
        page.table.action_select_cursor()
        await pilot.pause()
        assert len(page.chosen) == 3


def numbered(*numbers: int) -> Rows:
    return [(str(number), [f"n{number}", str(number), ""]) for number in numbers]


@pytest.mark.parametrize("left", [(3, 900, 7), tuple(range(0, 1000, 2)), ()])
async def test_many_rows_go_at_once_and_the_cursor_stays_on_its_key(
    left: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Page().run_test(size=(50, 12)) as pilot:
        page = pilot.app
        assert isinstance(page, Page)
        page.table.sync(numbered(*range(1000)))
        page.table.move_cursor(row=900)
        await pilot.pause()
        removed: list[str] = []
        remove_row = page.table.remove_row

        def told(key: str) -> None:
            removed.append(key)
            remove_row(key)

        monkeypatch.setattr(page.table, "remove_row", told)
        page.table.sync(numbered(*left))
        await pilot.pause()
        assert removed == []
        assert page.table.selected == ("900" if left else "")
        assert [page.table.get_row_at(row)[0].plain for row in range(page.table.row_count)] == [f"n{n}" for n in left]
        assert ("n900" in str(drawn(page.table))) == bool(left)


async def test_a_title_that_says_the_same_redraws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Page().run_test(size=(50, 12)) as pilot:
        page = pilot.app
        assert isinstance(page, Page)
        table = page.table
        assert isinstance(table, SameTitle)
        refreshed: list[str] = []
        refresh = table.refresh

        def told(*regions: Region, **how: bool) -> SyncTable:
            refreshed.append(str(table.border_title))
            return refresh(*regions, **how)

        monkeypatch.setattr(table, "refresh", told)
        table.border_title = "one"
        table.border_title = "one"
        table.border_title = "two"
        table.border_title = None
        assert refreshed == ["one", "two", "None"]
        assert table.border_title is None


@pytest.mark.parametrize(
    ("text", "width", "right", "told"),
    [
        ("ab", 4, False, "ab  "),
        ("ab", 4, True, "  ab"),
        ("abcdef", 4, False, "abc…"),
        ("漢字漢", 4, False, "漢 …"),
        ("漢字", 4, True, "漢字"),
        ("ab", 0, False, ""),
        ("ab", 1, False, "…"),
    ],
)
def test_fitted(text: str, width: int, right: bool, told: str) -> None:
    assert fitted(text, width, right=right) == told
