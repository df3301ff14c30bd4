"""The residency map: the KV pool as cells, drawn line by line with equal neighbours merged and styles cached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from radixdeck.policies.events import NO_NODE, Role
from radixdeck.policies.residency import NodeView, RunState

from ..cache_map import PENDING, CacheMap, Span, lay_out, sign_of
from ..theme import GROUND, PENDING_COLOUR, SHARED_COLOUR, UNOWNED_COLOUR, AgentMark, agent_marks, blend
from .node_selected import NodeSelected

FREE_GROUND = "#161c24"
CURSOR_GROUND = "#ffffff"
SHADE_COLOUR = "#e6c84b"
MOST_SEGMENTS = 4_000
SHADES = ("", "; by age, 0 the youngest", "; by turn, 0 goes first")
"""What the map can show: owners, or a number per node; said behind the size of a cell."""


class Look(NamedTuple):
    """How the cells of a node are drawn. `sign`: what the first one carries instead, '' for nothing."""

    char: str
    colour: str
    ground: str
    bold: bool = False
    sign: str = ""


def look_of(view: NodeView | None, node: int, marks: dict[str, AgentMark], *, odd: bool, sign: str = "") -> Look:
    """How a node is drawn. `odd` tells it from an equal-looking neighbour by a shade."""
    if node == PENDING:
        return Look("░", PENDING_COLOUR, FREE_GROUND)
    if view is None:
        return Look(" ", UNOWNED_COLOUR, FREE_GROUND)
    mark = marks.get(view.agents[0]) if len(view.agents) == 1 else None
    if mark is None:
        colour, char = (SHARED_COLOUR, "+") if view.agents else (UNOWNED_COLOUR, "·")
        return Look(char, colour, blend(colour, GROUND, 0.24 if odd else 0.3), bool(view.agents), sign)
    if view.role == "private":
        ground = blend(mark.colour, GROUND, 0.24 if odd else 0.14)
        return Look(mark.letter.lower(), mark.colour, ground, sign=sign)
    char = mark.letter if view.role == "anchor" else "+" if view.role == "shared" else "·"
    return Look(char, GROUND, blend(mark.colour, GROUND, 0.82 if odd else 1.0), True, sign)


def shaded(shade: int, *, odd: bool, sign: str) -> Look:
    """How a node is drawn by a number: the larger, the darker."""
    ground = blend(SHADE_COLOUR, GROUND, max(0.08, 0.9 - 0.09 * shade - 0.06 * odd))
    return Look(str(shade), GROUND if shade < 5 else SHADE_COLOUR, ground, sign=sign)


class MapView(Widget, can_focus=True):
    """One cell per stretch of tokens. The cursor is on a node, not on a place, and follows it when the map moves."""

    BINDINGS = [
        Binding("left,h", "beside(-1)", "node", key_display="←→", id="list.left",
                tooltip="the node before or after on the map"),
        Binding("right,l", "beside(1)", "node after", show=False, id="list.right"),
        Binding("up,k", "row(-1)", "up", show=False, id="list.up"),
        Binding("down,j", "row(1)", "down", show=False, id="list.down"),
        Binding("home", "ends(-1)", "first", show=False, id="list.first"),
        Binding("end", "ends(1)", "last", show=False, id="list.last"),
    ]  # fmt: skip
    help_text = (
        "The whole KV pool as cells, first the prefixes that agents share, then agent by agent. A capital letter on "
        "solid colour is an agent's anchor, a small letter one session's history, + a prefix several agents share, "
        "· tokens nobody owns, ░ what running requests hold that is not in the tree yet; blank is free. A * marks a "
        "pinned node, = one of an agent whose tokens are retained. Arrows or h j k l move over nodes, a click selects."
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._run = RunState()
        self._shades: Mapping[int, int] | None = None
        self._map = CacheMap([], 0, 0.0)
        self._looks: dict[int, Look] = {}
        self._signs: list[str] = []
        self._styles: dict[tuple[str, str, bool], Style] = {}
        self._segments: dict[tuple[Look, int], Segment] = {}
        self._rows: dict[int, Strip] = {}
        self.node = NO_NODE

    @property
    def tokens_per_cell(self) -> float:
        return self._map.tokens_per_cell

    @property
    def signs(self) -> list[str]:
        """Those that are on the map now."""
        return self._signs

    def show(self, run: RunState, shades: Mapping[int, int] | None = None) -> None:
        """Draw this state; with `shades`, a number 0 to 9 by node in place of its owner's letter."""
        self._run, self._shades = run, shades
        self._lay_out()

    def select(self, node: int) -> None:
        """Put the cursor on a node."""
        if node != self.node:
            self._redraw(self.node)
            self.node = node
            self._redraw(node)
            self.post_message(NodeSelected(node))

    def _redraw(self, node: int) -> None:
        """The rows that a node is in."""
        span, width = self._map.span_of(node), self.size.width
        if span is not None and width and node >= 0:
            self._draw_rows(span.first // width, (span.end - 1) // width + 1)

    def _draw_rows(self, top: int, end: int) -> None:
        for y in range(top, end):
            self._rows.pop(y, None)
        self.refresh(Region(0, top, self.size.width, end - top))

    def action_beside(self, places: int) -> None:
        self.select(self._map.beside(self.node, places))

    def action_row(self, rows: int) -> None:
        """To the node one row up or down, and on in that direction over free room."""
        width = self.size.width
        span = self._map.span_of(self.node)
        if span is None or not width:
            self.action_beside(rows)
            return
        cell = (span.first if rows < 0 else span.end - 1) + rows * width
        if 0 <= cell < self._map.cells and self._map.at(cell).node >= 0:
            self.select(self._map.at(cell).node)
        else:
            self.action_beside(rows)

    def action_ends(self, direction: int) -> None:
        self.select(self._map.beside(self.node, direction * self._map.cells))

    def on_resize(self, event: events.Resize) -> None:
        self._rows.clear()
        self._lay_out()

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is not None and self._map.spans:
            found = self._map.at(place.y * self.size.width + place.x)
            if found.node >= 0:
                self.select(found.node)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows of the map. Without border and padding it goes past Textual's general way, which makes each of some
        thousand segments twice more, unless it is dimmed; the app's filters (NO_COLOR) are in the styles already."""
        if self.opacity < 1:
            return super().render_lines(crop)
        rows = [self._rows.get(y) or self._rows.setdefault(y, self.render_line(y)) for y in crop.line_range]
        left, right = crop.column_span
        return rows if (left, right) == (0, self.size.width) else [row.crop(left, right) for row in rows]

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        cell, end = y * width, min((y + 1) * width, self._map.cells)
        segments: list[Segment] = []
        spans, place = self._map.spans, self._map.place_at(cell)
        while cell < end:
            span = spans[place]
            upto = min(span.end, end)
            segments.append(self._drawn(span, cell, upto))
            cell, place = upto, place + 1
        drawn = max(0, end - y * width)
        strip = Strip(segments, drawn)
        return strip if drawn == width else strip.adjust_cell_length(width, self.rich_style)

    def _drawn(self, span: Span, first: int, end: int) -> Segment:
        """The cells `first` to `end` of one span."""
        look = self._looks[span.node]
        if span.node == self.node and span.node >= 0:
            return self._under_cursor(look, span, first, end)
        if look.sign and first == span.first:
            return Segment(look.sign + look.char * (end - first - 1), self._style(look.colour, look.ground, look.bold))
        key = (look, end - first)
        if key not in self._segments:
            if len(self._segments) > MOST_SEGMENTS:
                self._segments.clear()
            self._segments[key] = Segment(look.char * key[1], self._style(look.colour, look.ground, look.bold))
        return self._segments[key]

    def _under_cursor(self, look: Look, span: Span, first: int, end: int) -> Segment:
        text = look.char * (end - first)
        if look.sign and first == span.first:
            text = look.sign + text[1:]
        text = ("[" if first == span.first else text[0]) + text[1:]
        text = text[:-1] + ("]" if end == span.end else text[-1])
        hue = look.ground if look.colour == GROUND else look.colour
        return Segment(text, self._style(GROUND, blend(CURSOR_GROUND, hue, 0.6), True))

    def _style(self, colour: str, ground: str, bold: bool) -> Style:
        key = (colour, ground, bold)
        if key not in self._styles:
            segments = [Segment(" ", Style(color=colour, bgcolor=ground, bold=bold))]
            for kind in self.get_line_filters():
                segments = kind.apply(segments, self.background_colors[1])
            self._styles[key] = segments[0].style or Style.null()
        return self._styles[key]

    def _lay_out(self) -> None:
        """Compute the map for the present size and redraw the rows that changed."""
        width, height = self.size
        if not width or not height:
            return
        old, old_looks = self._map.spans, self._looks
        self._map = lay_out(self._run, width * height)
        nodes = self._run.nodes
        self._looks = self._looked()
        if self.node not in nodes:
            self.select(self._map.beside(NO_NODE, 0))
        first = _first_difference(old, self._map.spans, old_looks, self._looks)
        if first is not None:
            self._draw_rows(min(first // width, height - 1), height)

    def _looked(self) -> dict[int, Look]:
        """How every span is drawn, worked out once per kind of node and for either shade of neighbours."""
        marks, nodes = agent_marks(self._run.agents), self._run.nodes
        met: dict[tuple[Role, tuple[str, ...], bool, int], tuple[Look, Look]] = {}
        looks: dict[int, Look] = {}
        for place, span in enumerate(self._map.spans):
            view = nodes.get(span.node)
            if view is None:
                looks[span.node] = look_of(view, span.node, marks, odd=bool(place % 2))
                continue
            shade = NO_NODE if self._shades is None else self._shades.get(span.node, 0)
            kind = (view.role, view.agents, view.pinned, shade)
            if kind not in met:
                met[kind] = self._pair(view, shade, marks)
            looks[span.node] = met[kind][place % 2]
        self._signs = sorted({look.sign for look, _ in met.values()} - {""})
        return looks

    def _pair(self, view: NodeView, shade: int, marks: dict[str, AgentMark]) -> tuple[Look, Look]:
        """How a node of this kind is drawn beside another one, and beside one that is drawn so."""
        sign = sign_of(view, self._run)
        if self._shades is not None:
            return shaded(shade, odd=False, sign=sign), shaded(shade, odd=True, sign=sign)
        even, odd = (look_of(view, view.node, marks, odd=odd, sign=sign) for odd in (False, True))
        return even, odd


def _first_difference(
    old: list[Span], new: list[Span], old_looks: dict[int, Look], new_looks: dict[int, Look]
) -> int | None:
    """The first cell that has to be drawn anew, None if nothing changed."""
    for before, after in zip(old, new, strict=False):
        if before != after or old_looks.get(before.node) != new_looks.get(after.node):
            return min(before.first, after.first)
    return None if len(old) == len(new) else 0
