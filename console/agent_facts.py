"""What is known of one agent, in lines: numbers, orders in force, tools, sessions and who is expected next. Pure."""

from __future__ import annotations

from radixdeck.policies.residency import AgentStats, RunState

from .rates import median
from .words import clip, ratio, seconds, short, tokens

NEXT_NAMED = 2


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
    hurt = f"{stats.evictions_that_hurt:,}, {tokens(stats.hurt_tokens)} again"
    anchor = (
        f"{stats.anchor_resident_tokens:,} of {tokens(stats.anchor_tokens)} resident" if stats.anchor_tokens else "?"
    )
    lines = [
        f"asked      {stats.dispatches:,} times, {stats.running:,} running, {stats.errors:,} errors",
        f"cached     {ratio(stats.cached_tokens, stats.prompt_tokens)} of {tokens(stats.prompt_tokens)}",
        f"TTFT p50   {'-' if ttft_s is None else seconds(ttft_s)} of the last {len(stats.ttft_recent_s)}",
        f"anchor     {anchor}",
        f"resident   {tokens(stats.resident_tokens)}, {ratio(stats.resident_tokens, run.capacity_tokens)} of the pool",
        f"hurt       {hurt}; {stats.anchor_hurt:,} of its anchor",
        f"orders     {orders_in_force(stats) or 'none in force'}",
        f"next       {next_words(run, stats.agent)}",
    ]
    if stats.tools:
        calls = sorted(stats.tools.items(), key=lambda call: (-call[1], call[0]))
        lines.append("tools      " + ", ".join(f"{tool} {number}" for tool, number in calls[:4]))
    identity = "declared by callers" if stats.declared else "inferred from its prompt"
    lines.append(f"identity   {identity}" + (f", {stats.versions} versions" if stats.versions > 1 else ""))
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


def sessions_of(run: RunState, agent: str) -> list[str]:
    """The sessions that are at this agent now, the last one used first, and how often guesses about them were right."""
    lines: list[str] = []
    for session, at in reversed(run.session_agent.items()):
        if at == agent:
            guesses = run.guesses.get(session)
            right = f", {guesses.right} of {guesses.made} guesses right" if guesses else ""
            lines.append(f"{clip(session, 24)}: next {next_words(run, agent)}{right}")
    return lines
