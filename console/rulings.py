"""What a policy did at the door, in words: the same for every policy that has something to say there."""

from __future__ import annotations

from radixdeck.policies.residency import Ruling, Rulings, RunState

from .words import brief_id, seconds, time_of_day, tokens

SHOWN = 3


def door_words(policy: str, run: RunState) -> str:
    """Counts, then the last few rulings with their reasons, newest first; '' if it never said anything."""
    rulings = run.rulings.get(policy)
    if rulings is None:
        return ""
    if rulings.tools:
        counts = ", ".join(f"{number:,} {what}" for what, number in rulings.tools.items())
        head = f"{policy} of tool calls: {counts}; {seconds(rulings.saved_s)} of tools saved"
    elif rulings.hedges:
        head = f"{policy}: {_hedges(rulings)}"
    else:
        head = f"{policy} at the door: {rulings.held:,} held, {rulings.refused:,} refused"
    if rulings.let_in:
        head += f", {rulings.let_in:,} let in (waited {seconds(rulings.held_s / rulings.let_in)} on average)"
    return "\n".join([head, *(_line(ruling) for ruling in reversed(rulings.recent[-SHOWN:]))])


def came_of(ruling: Ruling) -> str:
    """'with 429', 'after 1.2 s', '' where there is no more to tell."""
    return f"with {ruling.status}" if ruling.status else f"after {seconds(ruling.held_s)}" if ruling.held_s else ""


def _line(ruling: Ruling) -> str:
    told = (ruling.agent, brief_id(ruling.rid), ruling.what, came_of(ruling))
    return f"{time_of_day(ruling.t_ns)}  {' '.join(part for part in told if part)}: {ruling.why}"


def _hedges(rulings: Rulings) -> str:
    """What became of those that were late."""
    kept = rulings.hedges.get("kept", 0)
    sent = sum(rulings.hedges.values()) - kept
    return (
        f"{sent:,} sent to a second engine, {rulings.hedges.get('won', 0):,} answered there first, "
        f"{kept:,} late and not sent; about {seconds(rulings.saved_s)} saved, "
        f"at most {tokens(rulings.wasted_tokens)} computed twice"
    )
