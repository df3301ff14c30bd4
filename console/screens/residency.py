"""Mode 2: whose tokens are in the KV cache, what each node is, and what would go next."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from radixdeck.policies.events import NO_NODE, NodeEvicted
from radixdeck.policies.residency import NodeView, RunState

from ..cache_map import Victim, is_pinned, next_victims, score_of
from ..commands import Target
from ..event_log import EventLog
from ..fleet_state import NodeState
from ..sentences import holder
from ..theme import SHARED_COLOUR, AgentMark
from ..widgets.map_view import MapView
from ..words import brief, clip, parts, ratio, seconds, short, tokens
from .base import ActingScreen


def legend(run: RunState, marks: dict[str, AgentMark]) -> Content:
    """Letter, colour and resident tokens of every agent that has any."""
    entries: list[Content] = []
    for agent, mark in marks.items():
        if run.agents[agent].resident_tokens <= 0:
            continue
        name = f" {clip(agent, 18)} {short(run.agents[agent].resident_tokens)}"
        entries.append(Content.assemble((f" {mark.letter} ", f"bold #10141a on {mark.colour}"), name))
    entries.append(Content.assemble((" + ", f"bold {SHARED_COLOUR} on #3a3f46"), " shared"))
    entries.append(Content("░ running"))
    return Content("   ").join(entries)


def node_lines(view: NodeView, run: RunState, now_ns: int) -> list[str]:
    """What a node is, in words."""
    lines = [
        f"node {view.node}{'  * pinned' if is_pinned(view, run) else ''}",
        holder(view.role, view.agents, view.session),
        f"{tokens(view.tokens)} at depth {view.start:,}, {ratio(view.tokens, run.capacity_tokens)} of the pool",
    ]
    idle = f"last used {seconds(max(0, now_ns - view.last_use_ns) / 1e9)} ago" if view.last_use_ns else "never used"
    return [*lines, f"{idle}, {view.hits:,} hits", *_owner_lines(view, run)]


def _owner_lines(view: NodeView, run: RunState) -> list[str]:
    """For one agent's node: how the agent stands."""
    stats = run.agents.get(view.agents[0]) if len(view.agents) == 1 else None
    if stats is None:
        return []
    marks = [word for word, true in (("pinned", stats.pinned), ("quarantined", stats.quarantined)) if true]
    marks += [f"boost {stats.boost:+g}"] if stats.boost else []
    marks += [f"retain {short(stats.retain_tokens)}"] if stats.retain_tokens else []
    return [f"{stats.agent}: {stats.dispatches:,} dispatches, {', '.join(marks) or 'no orders in force'}"]


def last_decision(view: NodeView, log: EventLog) -> NodeEvicted | None:
    """The latest eviction of the same kind of node: the same role and owners."""
    for line in reversed(list(log)):
        event = line.event
        if isinstance(event, NodeEvicted) and (event.role, event.agents) == (view.role, view.agents) and event.parts:
            return event
    return None


def victim_line(victim: Victim, now_ns: int, *, scored: bool) -> str:
    """One node that would go soon: its score if any has one, tokens, idle time, whose it is."""
    view = victim.view
    idle = brief(max(0, now_ns - view.last_use_ns) / 1e9) if view.last_use_ns else "never"
    score = "-" if victim.key is None else f"{victim.key:.3g}"
    pinned = "* " if victim.pinned else ""
    role = "history" if view.role == "private" else view.role
    whose = " ".join([role, "+".join(view.agents), view.session]).strip()
    line = f"{short(view.tokens):>5} {idle:>6}  {pinned}{whose}"
    return f"{score:>7} {line}" if scored else line


class ResidencyScreen(ActingScreen):
    """The map, what is under the cursor, and the next victims."""

    mode = "residency"
    help_text = (
        "Whose tokens fill the KV pool. The panel beside the map explains the node under the cursor; below it are the "
        "leaves that would be evicted next, by the score of the policy in force where the daemon publishes it, else by "
        "oldest use. e and p act on the node, w t b Q on its agent."
    )

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="residency"):
            with Vertical(id="map-side"):
                yield MapView(id="map")
                yield Static(id="legend")
            with VerticalScroll(id="side", can_focus=False):
                yield Static(id="node")
                yield Static(id="victims")

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        view = self.query_one(MapView)
        view.show(entry.run)
        side = self.query_one("#map-side")
        side.border_title = f"KV pool, {tokens(entry.run.capacity_tokens)}; a cell is {view.tokens_per_cell:.3g} tok"
        if tables:
            self.query_one("#legend", Static).update(legend(entry.run, entry.marks))
            self._show_node(entry)
            self._show_victims(entry)

    def on_map_view_node_selected(self) -> None:
        if self.entry is not None:
            self._show_node(self.entry)

    def target(self) -> Target | None:
        view = self._selected()
        if view is None:
            return None
        agent = view.agents[0] if len(view.agents) == 1 else ""
        stats = self.entry.run.agents.get(agent) if self.entry else None
        return Target(
            agent, view.node, view.pinned, bool(stats and stats.quarantined), bool(stats and stats.retain_tokens)
        )

    def _selected(self) -> NodeView | None:
        node = self.query_one(MapView).node
        return self.entry.run.nodes.get(node) if self.entry and node != NO_NODE else None

    def _show_node(self, entry: NodeState) -> None:
        view = self._selected()
        panel = self.query_one("#node", Static)
        panel.border_title = "under the cursor"
        if view is None:
            empty = not entry.run.nodes
            panel.update("the cache is empty" if empty else "nothing selected")
            return
        lines = node_lines(view, entry.run, self.deck.fleet.now_ns(entry))
        score = score_of(view, entry.table.scores if entry.table else ())
        if score is not None:
            lines.append(f"score {score.key:.3g}: {parts(score.parts) or 'no parts'}")
        elif (decided := last_decision(view, entry.log)) is not None:
            lines.append(f"last of its kind to go scored {decided.score:.3g}: {parts(decided.parts)}")
        panel.update(Content("\n".join(lines)))

    def _show_victims(self, entry: NodeState) -> None:
        panel = self.query_one("#victims", Static)
        room = max(1, panel.content_size.height)
        found = next_victims(entry.run, entry.table.scores if entry.table else (), room)
        scored = any(victim.key is not None for victim in found)
        panel.border_title = f"next to go, by {'score' if scored else 'oldest use'}"
        now_ns = self.deck.fleet.now_ns(entry)
        lines = [victim_line(victim, now_ns, scored=scored) for victim in found]
        panel.update(Content("\n".join(lines) or "nothing resident"))
