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
    "pinned node, = one of an agent whose tokens are retained. For a moment "
    f"{EVICTED} stands where a node was evicted, {WARMED} on one that a warm-up brought. Where the engine has a "
    "host tier, below the line is what was evicted from the device and lies in host memory; "
    f"{TO_HOST} stands where a node moved there, {FROM_HOST} on one that came back. Arrows or h j k l move over "
    "nodes, a click selects."
)
NAMES = ((18, True), (18, False), (8, False))
"""How agents are named in the legend, the first that fits: characters of a name, and whether its tokens are told."""
SIGNS = {"": "", "*": "  * pinned", "=": "  = retained"}


def legend(run: RunState, marks: dict[str, AgentMark], width: int, rows: int = 4) -> Content:
    """What the signs mean, then letter, colour and resident tokens of every agent that has any, in at most so many
    rows of `width` cells: where they do not fit, agents go without their tokens, then with short names, and those that
    are left are counted. No entry is broken at the end of a line."""
    signs = [Content.assemble((" + ", f"bold {SHARED_COLOUR} on #3a3f46"), " shared"), Content("░ running")]
    shown = (EVICTED, WARMED, TO_HOST, FROM_HOST) if run.host_capacity_tokens else (EVICTED, WARMED)
    signs += [Content.assemble((glyph, f"bold {WARNING_COLOUR}"), f" {GLYPHS[glyph]}") for glyph in shown]
    below = {agent for view in run.host.values() for agent in view.agents}
    there = [agent for agent in marks if run.agents[agent].resident_tokens > 0 or agent in below]
    names: list[Content] = []
    for longest, counted in NAMES:
        names = [_named(agent, marks[agent], run, longest, counted=counted) for agent in there]
        if len(grouped([*signs, *names], width)) <= rows:
            break
    return Content("\n").join(in_lines([*signs, *_cut(signs, names, width, rows)], width))


def _cut(signs: list[Content], names: list[Content], width: int, rows: int) -> list[Content]:
    """As many names as there is room for behind the signs, and how many are left."""
    lines = grouped([*signs, *names], width)
    if len(lines) <= rows:
        return names
    kept = max(0, sum(len(line) for line in lines[:rows]) - len(signs))
    while kept and len(grouped([*signs, *names[:kept], _more(len(names) - kept)], width)) > rows:
        kept -= 1
    return [*names[:kept], _more(len(names) - kept)]


def _more(agents: int) -> Content:
    return Content(f"+{agents} more")


def _named(agent: str, mark: AgentMark, run: RunState, longest: int, *, counted: bool) -> Content:
    """' P  planner 412'."""
    held = f" {short(run.agents[agent].resident_tokens)}" if counted else ""
    return Content.assemble((f" {mark.letter} ", f"bold #10141a on {mark.colour}"), f" {clip(agent, longest)}{held}")


def in_lines(entries: list[Content], width: int, gap: str = "  ") -> list[Content]:
    """As many entries on each line as there is room for, whole, and one at least. `gap`: two cells between them."""
    return [Content(gap).join(line) for line in grouped(entries, width)]


def grouped(entries: list[Content], width: int) -> list[list[Content]]:
    """The entries of each line, with two cells between them."""
    lines: list[list[Content]] = []
    taken = width
    for entry in entries:
        taken += 2 + entry.cell_length
        if lines and taken <= width:
            lines[-1].append(entry)
        else:
            lines.append([entry])
            taken = entry.cell_length
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
