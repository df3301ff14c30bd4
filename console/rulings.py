"""What a policy did at the door, in words: the same for every policy that has something to say there."""

from __future__ import annotations

from radixdeck.policies.residency import Ruling, RunState

from .words import brief_id, seconds, time_of_day

SHOWN = 3


def door_words(policy: str, run: RunState) -> str:
    """Counts, then the last few rulings with their reasons, newest first; '' if it never said anything."""
    rulings = run.rulings.get(policy)
    if rulings is None:
        return ""
    if rulings.tools:
        counts = ", ".join(f"{number:,} {what}" for what, number in rulings.tools.items())
        head = f"{policy} of tool calls: {counts}; {seconds(rulings.saved_s)} of tools saved"
    else:
        head = f"{policy} at the door: {rulings.held:,} held, {rulings.refused:,} refused"
    if rulings.let_in:
        head += f", {rulings.let_in:,} let in (waited {seconds(rulings.held_s / rulings.let_in)} on average)"
    return "\n".join([head, *(_line(ruling) for ruling in reversed(rulings.recent[-SHOWN:]))])


def _line(ruling: Ruling) -> str:
    more = f" with {ruling.status}" if ruling.status else f" after {seconds(ruling.held_s)}" if ruling.held_s else ""
    rid = f" {brief_id(ruling.rid)}" if ruling.rid else ""
    return f"{time_of_day(ruling.t_ns)}  {ruling.agent}{rid} {ruling.what}{more}: {ruling.why}"
