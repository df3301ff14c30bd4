"""The radix tree as lines drawn only when seen; the cursor is on a node and follows it when rows move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from radixdeck.policies.events import NO_NODE
from radixdeck.policies.residency import NodeView, RunState

from ..cache_map import Victim, is_pinned
from ..cache_tree import CacheTree, Row, below_words, row_words
from ..theme import AgentMark, agent_marks
from ..words import brief, clip, short
from .ends import list_keys
from .map_looks import look_of
from .node_selected import NodeSelected

PLAIN, FAINT = "#d8dee6", "#7d8894"
CURSOR_GROUND = "#35506b"
NUMBERS_WIDTH = 34
LEVELS_SHOWN = 10
HEAD = f"{'marks':>6}{'tok':>6}{'idle':>7}{'score':>8}{'goes':>6} "


class Standing(NamedTuple):
    """What the numbers of a row are read from: when it is, and every node's place among the next to go."""

    now_ns: int
    places: Mapping[int, tuple[int, Victim]]


class TreeView(ScrollView, can_focus=True):
    """One line per node. Enter folds, arrows move, left and right fold and unfold as they go."""

    BINDINGS = [
        *list_keys("move(-1)", "move(1)", "page(-1)", "page(1)"),
        Binding("enter", "turn", "fold", tooltip="fold or unfold what is below the node", id="view.turn"),
        Binding("left,h", "out", show=False, tooltip="fold; on what is folded: to the node above", id="list.left"),
        Binding("right,l", "inside", show=False, tooltip="unfold; on what is unfolded: to the first node below",
                id="list.right"),
    ]  # fmt: skip
    help_text = (
        "The radix tree: a row is a node, what hangs below it needs it. Only where the tree branches do rows move to "
        "the right; ╰ hangs alone below the row above it. ▾ is unfolded, ▸ folded. history: what the last prompt of "
        "its agent holds; output: an answer that no prompt repeated yet; superseded: later prompts passed it by. * is "
        "pinned, = belongs to an agent whose tokens are retained, h lies in host memory only; goes: its place among "
        "the next to be evicted."
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._run = RunState()
        self._tree = CacheTree(self._run)
        self._standing = Standing(0, {})
        self._rows: list[Row] = []
        self._marks: dict[str, AgentMark] = {}
        self._turned: set[int] = set()
        self._fold, self._query = 0, ""
        self.node = NO_NODE

    @property
    def rows(self) -> list[Row]:
        """What is listed now."""
        return self._rows

    def show(self, run: RunState, standing: Standing, fold: int, query: str) -> None:
        """Show this state; `fold`: place in FOLDS."""
        if fold != self._fold:
            self._turned.clear()
        self._run, self._standing, self._fold, self._query = run, standing, fold, query
        self._tree, self._marks = CacheTree(run), agent_marks(run.agents)
        self._turned &= run.nodes.keys() | run.host.keys()
        self._list()

    def select(self, node: int) -> None:
        """Put the cursor on a node, unfolding what hides it."""
        self.node = node
        if node in self._run.nodes or node in self._run.host:
            above = self._tree.above(node)
            self._turned ^= {up for up in above if self._tree.folded(up, self._fold, self._turned)}
        self._list()

    def action_move(self, lines: int) -> None:
        self._go((self._place() or 0) + lines)

    def action_page(self, pages: int) -> None:
        self._go((self._place() or 0) + pages * max(1, self.size.height - 1))

    def action_ends(self, direction: int) -> None:
        self._go(0 if direction < 0 else len(self._rows) - 1)

    def action_turn(self) -> None:
        row = self._row()
        if row is not None and row.below and not self._query:
            self._turned ^= {row.view.node}
            self._list()

    def action_out(self) -> None:
        row = self._row()
        if row is None:
            return
        if row.below and not row.folded and not self._query:
            self.action_turn()
        elif above := self._tree.above(row.view.node):
            self._choose(above[0])

    def action_inside(self) -> None:
        row = self._row()
        if row is not None and row.folded:
            self.action_turn()
        elif row is not None and row.below:
            self.action_move(1)

    def on_click(self, event: events.Click) -> None:
        """Selects; on the sign of a row it folds."""
        place = event.get_content_offset(self)
        if place is None or not 0 <= place.y + self.scroll_offset.y < len(self._rows):
            return
        self._go(place.y + self.scroll_offset.y)
        row = self._row()
        if row is not None and place.x <= _indent(row) + 1:
            self.action_turn()

    def render_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if number >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[number]
        here = row.view.node == self.node
        ground = Color.parse(CURSOR_GROUND) if here else self.rich_style.bgcolor
        look = look_of(row.view, row.view.node, self._marks, odd=False)
        chip = Style(color=look.colour, bgcolor=look.ground, bold=look.bold)
        faint = Style(color=FAINT, bgcolor=ground)
        plain = Style(color=PLAIN if row.found else FAINT, bgcolor=ground, bold=here)
        room = max(8, width - NUMBERS_WIDTH - _indent(row) - 6)
        return Strip(
            [
                Segment(f"{'│ ' * (_indent(row) // 2)}{'╰' if row.straight else ' '}{_sign(row)} ", faint),
                Segment(look.char, chip),
                Segment(f" {clip(self._words(row), room):<{room}} ", plain),
                Segment(self._numbers(row.view), plain),
            ]
        ).adjust_cell_length(width, Style(bgcolor=ground))

    def _words(self, row: Row) -> str:
        return f"{row_words(row.view)}  {below_words(row)}".rstrip()

    def _numbers(self, view: NodeView) -> str:
        """Marks, tokens, idle time, score and place, as HEAD says."""
        owners = [self._run.agents[agent] for agent in view.agents if agent in self._run.agents]
        marks = "*" * is_pinned(view, self._run) + "=" * any(stats.retain_tokens for stats in owners)
        marks += "h" * (view.node in self._run.host)
        idle = brief(max(0, self._standing.now_ns - view.last_use_ns) / 1e9) if view.last_use_ns else "never"
        place, victim = self._standing.places.get(view.node, (0, None))
        score = "-" if victim is None or victim.key is None else f"{victim.key:.3g}"
        return f"{marks:>6}{short(view.tokens):>6}{idle:>7}{score:>8}{place or '-':>6} "

    def _list(self) -> None:
        """Make the rows anew, and keep the cursor on its node where it is shown."""
        self._rows = self._tree.rows(self._fold, self._turned, self._query)
        self.virtual_size = Size(1, len(self._rows))
        if self._rows and self._place() is None:
            shown = {row.view.node for row in self._rows}
            above = (node for node in self._tree.above(self.node) if node in shown)
            self._choose(next(above, self._rows[0].view.node))
        self._reveal()

    def _place(self) -> int | None:
        return next((place for place, row in enumerate(self._rows) if row.view.node == self.node), None)

    def _row(self) -> Row | None:
        place = self._place()
        return None if place is None else self._rows[place]

    def _go(self, number: int) -> None:
        if self._rows:
            self._choose(self._rows[max(0, min(len(self._rows) - 1, number))].view.node)
            self._reveal()

    def _choose(self, node: int) -> None:
        if node != self.node:
            self.node = node
            self.post_message(NodeSelected(node))
        self._reveal()

    def _reveal(self) -> None:
        """Scroll as little as brings the cursor into sight."""
        place, top, height = self._place() or 0, self.scroll_offset.y, max(1, self.size.height)
        if place < top:
            self.scroll_to(y=place, animate=False, force=True)
        elif place >= top + height:
            self.scroll_to(y=place - height + 1, animate=False, force=True)
        self.refresh()


def _indent(row: Row) -> int:
    return 2 * min(row.level, LEVELS_SHOWN)


def _sign(row: Row) -> str:
    return "▸" if row.folded else "▾" if row.below else " "
