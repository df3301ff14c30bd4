"""What is known of one agent, in lines: numbers, orders in force, tools, sessions and who is expected next. Pure."""

from __future__ import annotations

from radixdeck.policies.residency import AgentStats, RunState

from .misses import hurt_words
from .rates import median
from .words import brief, clip, clip_middle, count, ratio, room_for, seconds, short, tokens

NEXT_NAMED = 2
TOOLS_NAMED = 6
LEAST_NAMED, BESIDE_NAME = 16, 48
"""Columns for the name of a session, however little room there is, and for what is told beside it."""


def name_of(stats: AgentStats) -> str:
    """A declared name as it is; an inferred agent by the first words of its prompt."""
    return stats.agent if stats.declared or not stats.label else f"{stats.label} ({stats.agent[:8]})"


def orders_in_force(stats: AgentStats) -> str:
    words = ["* pinned"] if stats.pinned else []
    words += ["! quarantined"] if stats.quarantined else []
    words += [f"boost {stats.boost:+g}"] if stats.boost else []
    words += [f"retain {short(stats.retain_tokens)}"] if stats.retain_tokens else []
    return ", ".join(words)


def facts(stats: AgentStats, run: RunState) -> list[str]:
    """The agent in a line per kind of fact."""
    ttft_s = median(stats.ttft_recent_s)
    hurt = f"{hurt_words(stats, run)}, {tokens(stats.hurt_tokens)}"
    anchor = (
        f"{stats.anchor_resident_tokens:,} of {tokens(stats.anchor_tokens)} resident" if stats.anchor_tokens else "?"
    )
    anchor += f", {count(stats.anchor_hurt, 'node')} hurt" if stats.anchor_hurt else ""
    lines = [
        f"asked      {stats.dispatches:,} times, {stats.running:,} running, {stats.errors:,} errors",
        f"cached     {ratio(stats.cached_tokens, stats.prompt_tokens)} of {tokens(stats.prompt_tokens)}",
        f"TTFT p50   {'-' if ttft_s is None else seconds(ttft_s)} of the last {len(stats.ttft_recent_s)}",
        f"anchor     {anchor}",
        f"resident   {tokens(stats.resident_tokens)}, {ratio(stats.resident_tokens, run.capacity_tokens)} of the pool",
        f"hurt       {hurt}",
        f"orders     {orders_in_force(stats) or 'none in force'}",
        f"next       {next_words(run, stats.agent)}",
    ]
    return lines


def expected_next(run: RunState, agent: str) -> list[tuple[str, float]]:
    """Who followed this agent in the same session so far, the most frequent first, as shares."""
    row = run.transitions.get(agent, {})
    whole = sum(row.values())
    return [(name, number / whole) for name, number in sorted(row.items(), key=lambda item: (-item[1], item[0]))]


def next_words(run: RunState, agent: str) -> str:
    """'coder 62 %, critic 30 %'."""
    found = expected_next(run, agent)[:NEXT_NAMED]
    return ", ".join(f"{clip(name, 16)} {ratio(share, 1)}" for name, share in found) or "not known yet"


def identity_lines(stats: AgentStats, key: str) -> list[str]:
    """Who it is, and the tools it called. `key`: opens what is recorded of its text."""
    calls = sorted(stats.tools.items(), key=lambda call: (-call[1], call[0]))
    named = ", ".join(f"{tool} {number}" for tool, number in calls[:TOOLS_NAMED])
    more = f", {len(calls) - TOOLS_NAMED} more" if len(calls) > TOOLS_NAMED else ""
    identity = "declared by callers" if stats.declared else "inferred from its prompt"
    lines = [
        f"tools      {named + more or 'none seen'}",
        f"identity   {identity}"
        + (f", {stats.versions} versions" if stats.versions > 1 else "")
        + (f", {stats.claimants} names for it" if stats.claimants > 1 else "")
        + f"; {key}: its text",
    ]
    return [*lines, f"begins     {stats.label}"] if stats.label else lines


def sessions_of(run: RunState, agent: str, now_ns: int, most: int, width: int) -> list[str]:
    """At most `most` sessions that are at this agent now, the last one used first: what they hold, and who is expected
    next."""
    at_it = [session for session, at in reversed(run.session_agent.items()) if at == agent][:most]
    held: dict[str, int] = {}
    for view in run.nodes.values():
        if view.role == "private":
            held[view.session] = held.get(view.session, 0) + view.tokens
    named = room_for(at_it, LEAST_NAMED, width - BESIDE_NAME)
    asked = {view.session: view.arrived_ns for view in run.requests.values()}
    return [
        f"{clip_middle(session, named):<{named}} {short(held.get(session, 0)):>5} tok"
        f"{_asked(asked.get(session, 0), now_ns)}{_guessed(run, session, agent)}"
        for session in at_it
    ]


def _asked(arrived_ns: int, now_ns: int) -> str:
    return f" {brief(max(0, now_ns - arrived_ns) / 1e9):>6} ago" if arrived_ns else " " * 11


def _guessed(run: RunState, session: str, agent: str) -> str:
    """Nothing where nothing is expected: most agents are asked in sessions of their own."""
    guesses = run.guesses.get(session)
    right = f", {guesses.right}/{guesses.made} right" if guesses else ""
    return f"  next {next_words(run, agent)}{right}" if expected_next(run, agent) else ""
