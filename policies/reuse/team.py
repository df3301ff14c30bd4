"""The agents that one session has been at, as bits by slot: where a team is put together for a task, who comes next is
rather one of these than whoever followed in other sessions.

How often sessions go on among their own is learned (`Transitions.own`); where it hardly happens, nothing changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .transitions import Floats

SELDOM = 0.05
"""Where sessions go on among their own more seldom than this, it is not worth the time."""


def without(team: int, *slots: int) -> int:
    """The team but for these agents; those below 0 are nobody."""
    for slot in slots:
        if slot >= 0:
            team &= ~(1 << slot)
    return team


def members(team: int, agents: int) -> list[int]:
    """Slots, of the first so many agents."""
    return [slot for slot in range(min(agents, team.bit_length())) if team >> slot & 1]


def among_own(row: Floats, own: float, others: int, kept: int) -> None:
    """Move a share of where a session goes next, `[agent]`, evenly to the `others` of its team, in place; what goes to
    the agent `kept` stays as it is."""
    slots = members(others, len(row))
    if not slots:
        return
    back = float(row[kept]) if kept >= 0 else 0.0
    moved = own * (float(row.sum()) - back)
    row *= 1.0 - own
    for slot in slots:
        row[slot] += moved / len(slots)
    if kept >= 0:
        row[kept] = back


def reach_own(reach: Floats, own: float, team: int, onward: Floats, step: float) -> None:
    """Let the discount until each agent of the team be, as far as a session goes on among its own, that of a walk on
    which every step leads to each of them alike. In place; `onward`: discounted probabilities of the next agent;
    `step`: discount of a step, as far as there is one."""
    slots = members(team, len(reach))
    if len(slots) < 2:
        return
    each = 1.0 / len(slots)
    later = step * each / (1.0 - (1.0 - each) * step)
    goes_on = float(onward.sum())
    for slot in slots:
        at_once = float(onward[slot])
        reach[slot] += own * (at_once + (goes_on - at_once) * later - reach[slot])
