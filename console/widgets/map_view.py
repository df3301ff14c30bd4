"""The residency map: the KV pool as cells, drawn line by line with equal neighbours merged and styles cached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from radixdeck.policies.events import NO_NODE, Role
from radixdeck.policies.residency import NodeView, RunState

from ..cache_map import CacheMap, Span, sign_of
from ..flashes import Flashes
from ..node_words import MAP_HELP
from ..theme import GROUND, AgentMark, agent_marks, blend
from ..tiers import RULE, lay_out_tiers, rule_words
from .map_looks import Look, came_look, gone_look, in_brackets, look_of, rule_look, shaded, shared_look
from .map_marks import Mark, Marks, differing, gone_marks, rows_of, runs_of
from .node_selected import NodeSelected

CURSOR_GROUND = "#ffffff"
MOST_SEGMENTS = 4_000
SHADES = ("", "; by age, 0 the youngest", "; by turn, 0 goes first")
"""What the map can show: owners, or a number per node; said behind the size of a cell."""


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
    help_text = MAP_HELP

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._run = RunState()
        self._shades: Mapping[int, int] | None = None
        self._map = CacheMap([], 0, 0.0)
        self._known: set[int] = set()
        self._looks: dict[int, Look] = {}
        self._signs: list[str] = []
        self._styles: dict[tuple[str, str, bool], Style] = {}
        self._segments: dict[tuple[Look, int], Segment] = {}
        self._rows: dict[int, Strip] = {}
        self._flashes = Flashes()
        self._gone = Marks()
        self._came: dict[int, str] = {}
        self.node = NO_NODE

    @property
    def tokens_per_cell(self) -> float:
        return self._map.tokens_per_cell

    @property
    def signs(self) -> list[str]:
        """Those that are on the map now."""
        return self._signs

    def show(self, run: RunState, shades: Mapping[int, int] | None = None, flashes: Flashes | None = None) -> None:
        """Draw this state; with `shades`, a number 0 to 9 by node in place of its owner's letter."""
        self._run, self._shades, self._flashes = run, shades, flashes or Flashes()
        self._lay_out()

    def flash(self, flashes: Flashes) -> None:
        """Draw what has just happened where it happened; everything else stays as it was laid out."""
        self._flashes = flashes
        self._keep_near()
        self._draw(self._newly_marked())

    def is_behind(self, run: RunState, flashes: Flashes) -> bool:
        """Whether what it shows cannot stand: another run, or a node that came since it was laid out."""
        return run is not self._run or not self._known.issuperset(flashes.came)

    def _has(self, node: int) -> bool:
        return node in self._run.nodes or node in self._run.host

    def _keep_near(self) -> None:
        """A cursor whose node has gone goes to what lay behind it, or else before it."""
        here = None if self._has(self.node) else self._map.span_of(self.node)
        if here is None:
            return
        place, spans = self._map.place_at(here.first), self._map.spans
        near = (span.node for span in chain(spans[place:], reversed(spans[:place])))
        found = next((node for node in near if self._has(node)), NO_NODE)
        if found != NO_NODE:
            self.select(found)

    def select(self, node: int) -> None:
        """Put the cursor on a node."""
        if node != self.node:
            self._redraw(self.node)
            self.node = node
            self._redraw(node)
            self.post_message(NodeSelected(node))

    def _redraw(self, node: int) -> None:
        """The rows that a node is in."""
        self._draw(self._rows_of([node]))

    def _rows_of(self, nodes: Iterable[int]) -> set[int]:
        spans = (self._map.span_of(node) for node in nodes if node >= 0)
        return rows_of((span for span in spans if span is not None), self.size.width)

    def _draw(self, rows: Iterable[int]) -> None:
        """These rows anew, neighbours at once."""
        regions = [Region(0, run.start, self.size.width, len(run)) for run in runs_of(rows, self.size.height)]
        for region in regions:
            for y in region.line_range:
                self._rows.pop(y, None)
        if regions:
            self.refresh(*regions)

    def action_beside(self, places: int) -> None:
        self.select(self._map.beside(self.node, places, self._has))

    def action_row(self, rows: int) -> None:
        """To the node one row up or down, and on in that direction over free room."""
        width = self.size.width
        span = self._map.span_of(self.node)
        if span is None or not width:
            self.action_beside(rows)
            return
        cell = (span.first if rows < 0 else span.end - 1) + rows * width
        if 0 <= cell < self._map.cells and self._has(self._map.at(cell).node):
            self.select(self._map.at(cell).node)
        else:
            self.action_beside(rows)

    def action_ends(self, direction: int) -> None:
        self.select(self._map.beside(self.node, direction * self._map.cells, self._has))

    def on_resize(self, event: events.Resize) -> None:
        self._rows.clear()
        self._lay_out()

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is not None and self._map.spans:
            found = self._map.at(place.y * self.size.width + place.x)
            if self._has(found.node):
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
        marked = bool(self._gone.on(cell, end))
        while cell < end:
            span = spans[place]
            upto = min(span.end, end)
            if marked and (marks := self._gone.on(cell, upto)):
                segments += self._below(marks, span, cell, upto)
            else:
                segments.append(self._drawn(span, cell, upto))
            cell, place = upto, place + 1
        drawn = max(0, end - y * width)
        strip = Strip(segments, drawn)
        return strip if drawn == width else strip.adjust_cell_length(width, self.rich_style)

    def _below(self, marks: list[Mark], span: Span, cell: int, end: int) -> Iterable[Segment]:
        """The same cells of a span, with what lies above them: the first of a node that is there stays in sight, and
        both ends of the cursor. Where a node has one cell alone, both are seen in that."""
        own, there = self._looks[span.node], span.node in self._run.nodes
        shared = there and span.end == span.first + 1 and span.node != self.node and not own.sign
        begin, stop = span.first + (there and not shared), span.end - (span.node == self.node)
        for mark in marks:
            first, last = max(cell, mark.first, begin), min(end, mark.end, stop)
            if first >= last:
                continue
            if cell < first:
                yield self._drawn(span, cell, first)
            yield self._segment(shared_look(mark.glyph, own) if shared else gone_look(mark.glyph), last - first)
            cell = last
        if cell < end:
            yield self._drawn(span, cell, end)

    def _drawn(self, span: Span, first: int, end: int) -> Segment:
        """The cells `first` to `end` of one span."""
        look = self._looks[span.node]
        if span.node in self._came:
            look = came_look(self._came[span.node], look)
        if span.node == self.node and span.node >= 0:
            return self._under_cursor(look, span, first, end)
        if look.sign and first == span.first:
            text = look.sign + look.char * (end - first - len(look.sign))
            return Segment(text, self._style(look.colour, look.ground, look.bold))
        return self._segment(look, end - first)

    def _segment(self, look: Look, cells: int) -> Segment:
        found = self._segments.get((look, cells))
        if found is None:
            if len(self._segments) > MOST_SEGMENTS:
                self._segments.clear()
            found = Segment(look.char * cells, self._style(look.colour, look.ground, look.bold))
            self._segments[look, cells] = found
        return found

    def _under_cursor(self, look: Look, span: Span, first: int, end: int) -> Segment:
        hue = look.ground if look.colour == GROUND else look.colour
        text = in_brackets(look, end - first, begins=first == span.first, ends=end == span.end)
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
        self._keep_near()
        old, old_looks = self._map.spans, self._looks
        gone = [flash.view for flash in self._flashes.gone.values()]
        self._map = lay_out_tiers(self._run, width, height, gone)
        self._known = {*self._run.nodes, *self._run.host}
        self._looks = self._looked()
        if not self._has(self.node):
            self.select(self._map.beside(NO_NODE, 0))
        cells = differing(old, self._map.spans, old_looks, self._looks)
        rows = set(range(cells.start // width, (cells.stop + width - 1) // width))
        self._draw(rows | self._newly_marked())

    def _newly_marked(self) -> set[int]:
        """Take what just happened; returns the rows on which that changes anything."""
        if not (self._flashes or self._gone or self._came):
            return set()
        old_gone, old_came = self._gone, self._came
        self._gone = gone_marks(self._flashes, self._map, self._run.nodes)
        self._came = {node: came.glyph for node, came in self._flashes.came.items()}
        turned = {node for node, _ in old_came.items() ^ self._came.items()}
        return rows_of(set(old_gone) ^ set(self._gone), self.size.width) | self._rows_of(turned)

    def _looked(self) -> dict[int, Look]:
        """How every span is drawn, worked out once per kind of node and for either shade of neighbours."""
        marks, nodes, host = agent_marks(self._run.agents), self._run.nodes, self._run.host
        met: dict[tuple[Role, tuple[str, ...], bool, int], tuple[Look, Look]] = {}
        looks: dict[int, Look] = {}
        for place, span in enumerate(self._map.spans):
            view = nodes.get(span.node) or host.get(span.node)
            if view is None:
                looks[span.node] = self._nobody(span, odd=bool(place % 2))
                continue
            shade = self._shade_of(span.node)
            kind = (view.role, view.agents, view.pinned, shade)
            if kind not in met:
                met[kind] = self._pair(view, shade, marks)
            looks[span.node] = met[kind][place % 2]
        self._signs = sorted({look.sign for look, _ in met.values()} - {""})
        return looks

    def _shade_of(self, node: int) -> int:
        """Its number, or NO_NODE: owners are shown, or the order of eviction, in which the host tier has no part."""
        if self._shades is None or (node in self._run.host and node not in self._shades):
            return NO_NODE
        return self._shades.get(node, 0)

    def _nobody(self, span: Span, *, odd: bool) -> Look:
        """How cells are drawn that are no node's."""
        width, height = self.size
        if span.node == RULE:
            return rule_look(rule_words(self._run, width, height), width)
        return look_of(None, span.node, {}, odd=odd)

    def _pair(self, view: NodeView, shade: int, marks: dict[str, AgentMark]) -> tuple[Look, Look]:
        """How a node of this kind is drawn beside another one, and beside one that is drawn so."""
        sign = sign_of(view, self._run)
        if shade != NO_NODE:
            return shaded(shade, odd=False, sign=sign), shaded(shade, odd=True, sign=sign)
        even, odd = (look_of(view, view.node, marks, odd=odd, sign=sign) for odd in (False, True))
        return even, odd
