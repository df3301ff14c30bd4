"""Mode 2: whose tokens are in the KV cache, what each node is, and what would go next."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain

from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from radixdeck.policies.events import NO_NODE, PrefixMatched
from radixdeck.policies.residency import NodeView, RunState

from ..blindness import unseen_since
from ..cache_map import score_of
from ..cache_tree import FOLDS
from ..commands import NoTarget, Target
from ..event_log import LogLine, newest
from ..export import as_csv
from ..fleet_state import NodeState
from ..host_tier import host_words
from ..node_words import SIGNS, in_lines, last_decision, legend, node_lines
from ..victim_order import NODE_TITLES, VICTIM_HEAD, Queue, node_rows, turn_words, victim_line
from ..widgets.filter_bar import FilterBar
from ..widgets.map_view import SHADES, MapView
from ..widgets.panel import CursorPanel, Panel
from ..widgets.same_title import Frame
from ..widgets.tree_view import HEAD, Standing, TreeView
from ..words import clip, count, parts, plain, time_of_day, tokens
from .base import ActingScreen
from .filtering import FilteringScreen, filter_key

ORDER_S = 0.9
LAYOUT_S = 0.25
"""While events pour in, the map is laid out so often at most; what leaves it, and what a warm-up brings, shows in
between."""
SIDES = 3
"""Panels beside the map, between which a key turns where there is no room for all."""

OF_TREE = ("fold", "filter", "clear_filter")
OF_MAP = "shade"
"""Actions that one of the two views alone has."""


def _unseen(run: RunState) -> str:
    """In front of a title: what is below it is old."""
    return f"{unseen_since(run)}: " if run.blind else ""


def _is_warm(line: LogLine) -> bool:
    return isinstance(line.event, PrefixMatched) and line.event.warm


class ResidencyScreen(FilteringScreen, ActingScreen):
    """The map or the tree of the same nodes, what is under the cursor, and the next victims."""

    mode = "residency"
    help_text = (
        "Whose tokens fill the KV pool of the device and, below a line, what lies only in the host tier that an engine "
        "may have. The panel "
        "beside the map explains the node under the cursor; below it are the "
        "leaves that would be evicted next, by the score of the policy in force where the daemon publishes it, else by "
        "oldest use. v shades the map by age (0: used within a second, each number twice as long ago) or by the order "
        "of eviction (0: the first tenth to go). T shows the same as a tree with the same cursor: f folds each "
        "session's history or each agent's anchor, / leaves only nodes with a text in their role, agent, session or "
        "number. Where there is no room for all, n turns between what is under the cursor, what goes next and what has "
        "just gone. e and p act on the node, w t b Q on its agent."
    )

    BINDINGS = [
        Binding("v", "shade", "shade", tooltip="show owners, ages, or the order of eviction", id="view.shade"),
        Binding("T", "tree", "tree", tooltip="the map or the tree of the same nodes", id="view.tree"),
        Binding("n", "side", "next", tooltip="under the cursor, next to go, or just gone", id="view.side"),
        Binding("f", "fold", "fold", tooltip="in the tree: fold sessions, agents, or nothing", id="view.fold"),
        filter_key("in the tree: only nodes with a text"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._shade = self._fold = 0
        self._tree = False
        self._ordered_s, self._laid_out_s = -ORDER_S, -LAYOUT_S
        self._queue = Queue(RunState(), ())
        """As of the last time that what is costly was drawn: a key does not work it out anew."""

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="residency"):
            with Frame(id="map-side"):
                yield MapView(id="map")
                yield Static(id="tree-head", markup=False)
                yield TreeView(id="tree")
                yield Panel(id="legend")
            with VerticalScroll(id="side", can_focus=False):
                yield CursorPanel(id="node")
                yield Panel(id="victims")
                yield Panel(id="gone")
        yield FilterBar()

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if tables:
            # With the map, below which it is: what is drawn together is drawn as one rectangle.
            self.query_one("#map-side").border_subtitle = host_words(entry.log, entry.run)
            signs = self.query_one("#legend", Static)
            most = signs.styles.max_height
            width, rows = signs.content_size.width or self.size.width, int(most.value) if most else 1
            signs.update(legend(entry.run, entry.marks, width, rows))
        if not self._tree:
            self._show_map(entry, tables=tables)
        elif tables:
            self._put_in_order(entry)
            self._show_tree(entry)

    def show_rest(self, entry: NodeState) -> None:
        if not self._tree:
            self._put_in_order(entry)
        self._show_node(entry)
        self._show_victims(entry)
        self._show_gone(entry)

    def _put_in_order(self, entry: NodeState) -> None:
        """Work out the order of eviction, once a second: nobody reads it faster."""
        now_s = time.monotonic()
        if not self.deck.animated or now_s - self._ordered_s >= ORDER_S:
            self._ordered_s = now_s
            self._queue = Queue(entry.run, entry.table.scores if entry.table else ())

    def _show_map(self, entry: NodeState, *, tables: bool) -> None:
        view, now_s = self.query_one(MapView), time.monotonic()
        replay = self.deck.replay
        speed = replay.speed if replay is not None else 1.0
        flashes = entry.flashes.forget(self.deck.fleet.now_ns(entry), speed)
        due = not self._shade and (now_s - self._laid_out_s >= LAYOUT_S or view.is_behind(entry.run, flashes))
        if not (tables or due):
            view.flash(flashes)
            return
        self._laid_out_s = now_s
        view.show(entry.run, self._shades(entry) if self._shade else None, flashes)
        cell = f"a cell is {view.tokens_per_cell:.3g} tok{SHADES[self._shade]}"
        signs = "".join(f"; {SIGNS[sign].strip()}" for sign in view.signs)
        self.query_one(
            "#map-side"
        ).border_title = f"{_unseen(entry.run)}KV pool, {tokens(entry.run.capacity_tokens)}; {cell}{signs}"

    def _show_tree(self, entry: NodeState) -> None:
        tree = self.query_one(TreeView)
        places = {victim.view.node: (place, victim) for place, victim in enumerate(self._queue.order, 1)}
        tree.show(entry.run, Standing(self.deck.fleet.now_ns(entry), places), self._fold, self._query)
        width = max(len(HEAD), tree.scrollable_content_region.width)
        self.query_one("#tree-head", Static).update(f"{'whose':<{width - len(HEAD)}}{HEAD}")
        found = f", {len(tree.rows):,} rows with '{plain(self._query)}'" if self._query else ""
        folded = f", folded: {FOLDS[self._fold]}" if self._fold and not self._query else ""
        run = entry.run
        nodes = count(len(run.nodes) + len(run.host), "node")
        beyond = f", {run.host_beyond:,} more in host memory not listed" if run.host_beyond else ""
        self.query_one("#map-side").border_title = f"{_unseen(entry.run)}radix tree, {nodes}{beyond}{found}{folded}"

    def action_tree(self) -> None:
        """The other of map and tree, with the cursor on the same node."""
        self._tree = not self._tree
        view, tree = self.query_one(MapView), self.query_one(TreeView)
        for name in ("#map", "#legend", "#tree-head", "#tree"):
            self.query_one(name).display = self._tree == name.startswith("#tree")
        (tree if self._tree else view).focus()
        self.refresh_state(tables=True)
        if self._tree:
            tree.select(view.node)

    def open_for(self, action: str) -> None:
        if (action in OF_TREE and not self._tree) or (action == OF_MAP and self._tree):
            self.action_tree()

    def action_fold(self) -> None:
        self._fold = (self._fold + 1) % len(FOLDS)
        self._query = ""
        self.refresh_state(tables=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Folding and filtering are the tree's, shading is the map's."""
        if action == "side":
            return self.has_class("-narrow") or not self.has_class("-tall")
        if action in OF_TREE:
            return self._tree
        return not self._tree if action == OF_MAP else super().check_action(action, parameters)

    def action_side(self) -> None:
        self.turn("side", SIDES)

    def action_shade(self) -> None:
        self._shade = (self._shade + 1) % len(SHADES)
        self.refresh_state(tables=True)

    def _shades(self, entry: NodeState) -> dict[int, int]:
        """0 to 9 by node: by age in powers of two of a second, or by place in the order of eviction."""
        nodes = entry.run.nodes
        if self._shade == 1:
            now_ns = self.deck.fleet.now_ns(entry)
            return {
                node: min(9, int(max(0, now_ns - view.last_use_ns) / 1e9).bit_length())
                for node, view in chain(nodes.items(), entry.run.host.items())
            }
        order = self._queue.order
        return {victim.view.node: 10 * place // len(order) for place, victim in enumerate(order)}

    def on_node_selected(self) -> None:
        """Map and tree have one cursor. What counts is where it is now: a message may be late, and to go back to what
        it says would call for the next one."""
        if self._tree:
            self.query_one(MapView).select(self.query_one(TreeView).node)
        if self.entry is not None:
            self._show_node(self.entry)

    def target(self) -> Target | None:
        view = self._selected()
        if view is None:
            return None
        if self.entry is not None and view.node in self.entry.run.host:
            raise NoTarget(f"node {view.node} lies in host memory only: orders are about what is on the device")
        agent = view.agents[0] if len(view.agents) == 1 else ""
        stats = self.entry.run.agents.get(agent) if self.entry else None
        return Target(
            agent, view.node, view.pinned, bool(stats and stats.quarantined), bool(stats and stats.retain_tokens)
        )

    def export(self) -> tuple[str, str]:
        """Every resident node in the order of eviction."""
        now_ns = self.deck.fleet.now_ns(self.entry) if self.entry else 0
        return "csv", as_csv(NODE_TITLES, node_rows(self._queue, now_ns))

    def copied(self) -> str:
        """What is said of the node under the cursor."""
        return self.words_in("#node")

    def _selected(self) -> NodeView | None:
        node = self.query_one(MapView).node
        if self.entry is None or node == NO_NODE:
            return None
        return self.entry.run.nodes.get(node) or self.entry.run.host.get(node)

    def _show_node(self, entry: NodeState) -> None:
        view = self._selected()
        panel = self.query_one("#node", Static)
        panel.border_title = "under the cursor"
        if view is None:
            empty = not entry.run.nodes
            panel.update("the cache is empty" if empty else "nothing selected")
            return
        lines = node_lines(view, entry.run, self.deck.fleet.now_ns(entry))
        on_device = view.node in entry.run.nodes
        turn = self._queue.turn_of([view.node], self.deck.fleet.now_ns(entry)) if on_device else None
        lines += [turn_words(turn)] if turn else []
        score = score_of(view, entry.table.scores if entry.table else ())
        if score is not None:
            lines.append(f"score {score.key:.3g}: {parts(score.parts) or 'no parts'}")
        elif (decided := last_decision(view, entry.log)) is not None:
            lines.append(f"last of its kind to go scored {decided.score:.3g}: {parts(decided.parts)}")
        told = [Content(line) for line in lines]
        if self.has_class("-narrow"):
            told = in_lines(told, panel.content_size.width, "; ")
        panel.update(Content("\n").join(told))

    def _show_victims(self, entry: NodeState) -> None:
        panel = self.query_one("#victims", Static)
        room = max(1, panel.content_size.height - 1)
        found = self._queue.next(room)
        scored = any(victim.key is not None for victim in found)
        panel.border_title = f"{_unseen(entry.run)}next to go, by {'score' if scored else 'oldest use'}"
        now_ns = self.deck.fleet.now_ns(entry)
        width = panel.content_size.width
        lines = [victim_line(victim, now_ns, scored=scored, width=width) for victim in found]
        panel.update(Content("\n".join([VICTIM_HEAD[scored], *lines]) if lines else "nothing resident"))

    def _show_gone(self, entry: NodeState) -> None:
        """The last evictions and warm-ups, newest first."""
        panel = self.query_one("#gone", Static)
        panel.border_title = "just gone, just warmed"
        width, height = panel.content_size
        lines = [line for line in newest(entry.log, 200) if line.kind == "node_evicted" or _is_warm(line)]
        shown = [f"{time_of_day(line.t_ns)} {clip(line.text, max(10, width - 11))}" for line in reversed(lines)]
        panel.update(Content("\n".join(shown[: max(1, height)]) or "nothing so far"))
