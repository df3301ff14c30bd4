"""The map in words: its legend, and what the node under the cursor is."""

from __future__ import annotations

from textual.content import Content

from radixdeck.policies.events import NodeEvicted
from radixdeck.policies.residency import NodeView, RunState

from .cache_map import sign_of
from .event_log import EventLog
from .flashes import EVICTED, FROM_HOST, GLYPHS, TO_HOST, WARMED
from .holders import holder
from .host_tier import ON_HOST, host_share
from .theme import SHARED_COLOUR, WARNING_COLOUR, AgentMark
from .words import clip, ratio, seconds, short, tokens

MAP_HELP = (
    "The whole KV pool as cells, first the prefixes that agents share, then agent by agent. A capital letter on "
    "solid colour is an agent's anchor, a small letter one session's history, + a prefix several agents share, "
    "· tokens nobody owns, ░ what running requests hold that is not in the tree yet; blank is free. A * marks a "
    "pinned node, = one of an agent whose tokens are retained. For a second "
    f"{EVICTED} stands where a node was evicted, {WARMED} on one that a warm-up brought. Where the engine has a "
    "host tier, below the line is what was evicted from the device and lies in host memory; "
    f"{TO_HOST} stands where a node moved there, {FROM_HOST} on one that came back. Arrows or h j k l move over "
    "nodes, a click selects."
)
SIGNS = {"": "", "*": "  * pinned", "=": "  = retained"}


def legend(run: RunState, marks: dict[str, AgentMark], width: int) -> Content:
    """What the signs mean, then letter, colour and resident tokens of every agent that has any: where the window cuts
    it, only agents are cut. No entry is broken at the end of a line of `width` cells."""
    entries = [Content.assemble((" + ", f"bold {SHARED_COLOUR} on #3a3f46"), " shared"), Content("░ running")]
    shown = (EVICTED, WARMED, TO_HOST, FROM_HOST) if run.host_capacity_tokens else (EVICTED, WARMED)
    entries += [Content.assemble((glyph, f"bold {WARNING_COLOUR}"), f" {GLYPHS[glyph]}") for glyph in shown]
    below = {agent for view in run.host.values() for agent in view.agents}
    for agent, mark in marks.items():
        if run.agents[agent].resident_tokens <= 0 and agent not in below:
            continue
        name = f" {clip(agent, 18)} {short(run.agents[agent].resident_tokens)}"
        entries.append(Content.assemble((f" {mark.letter} ", f"bold #10141a on {mark.colour}"), name))
    return Content("\n").join(in_lines(entries, width))


def in_lines(entries: list[Content], width: int) -> list[Content]:
    """As many entries on each line as there is room for, whole, and one at least."""
    lines: list[Content] = []
    for entry in entries:
        longer = Content("  ").join([*lines[-1:], entry])
        if lines and longer.cell_length <= width:
            lines[-1] = longer
        else:
            lines.append(entry)
    return lines


def node_lines(view: NodeView, run: RunState, now_ns: int) -> list[str]:
    """What a node is, in words."""
    on_host = view.node in run.host
    share = host_share(view, run) if on_host else f"{ratio(view.tokens, run.capacity_tokens)} of the pool"
    lines = [
        f"node {view.node}{SIGNS[sign_of(view, run)]}",
        holder(view.role, view.agents, view.session),
        f"{tokens(view.tokens)} at depth {view.start:,}, {share}",
    ]
    lines += [ON_HOST] if on_host else []
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
