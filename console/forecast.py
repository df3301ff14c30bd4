"""Whether an agent will find its anchor: when it is due back, how likely that is, and when the anchor's turn to go
comes at the present pace. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from radixdeck.daemon.wire import PoliciesTable
from radixdeck.policies.residency import NodeView, RunState

from .cache_map import score_of
from .rates import SURVIVAL_STEPS, median, survival_of
from .victim_order import Queue, Turn, turn_words
from .words import parts, seconds

LATELY = 9
"""Requests of an agent by whose gaps the next one is expected: what came long ago says little of the pace now."""


class Back(NamedTuple):
    """When an agent asked last and how far apart its requests came lately, in seconds; None where nothing is known."""

    last_s: float | None
    gap_s: float | None

    @property
    def due_s(self) -> float | None:
        """Until it is due; below 0 once it is overdue."""
        return self.gap_s - self.last_s if self.gap_s is not None and self.last_s is not None else None


def back(run: RunState, agent: str, now_ns: int) -> Back:
    """From its last requests, warm-ups aside: the gap that half of them were below."""
    asked = sorted(v.arrived_ns for v in run.requests.values() if v.agent == agent and v.arrived_ns and not v.warm)
    asked = asked[-LATELY:]
    gaps = [(later - earlier) / 1e9 for earlier, later in pairwise(asked)]
    return Back(max(0, now_ns - asked[-1]) / 1e9 if asked else None, median(gaps))


def holding(run: RunState, agent: str) -> list[NodeView]:
    """The nodes that hold any of its anchor: as long as only one session came by since it was computed, the anchor is
    the beginning of that session's history."""
    stats = run.agents.get(agent)
    end = stats.anchor_tokens if stats else 0
    return [view for view in run.nodes.values() if agent in view.agents and view.start < end]


def first_to_go(run: RunState, queue: Queue, agent: str, now_ns: int) -> Turn | None:
    """The turn of the part of its anchor that goes first: what is further down goes before what it hangs from."""
    return queue.turn_of((view.node for view in holding(run, agent)), now_ns)


def forecast(run: RunState, table: PoliciesTable | None, queue: Queue, agent: str, now_ns: int) -> list[str]:
    """A line per kind of knowledge; the first one is what follows from the others."""
    found = back(run, agent, now_ns)
    turn = first_to_go(run, queue, agent, now_ns)
    stats = run.agents.get(agent)
    whole = stats is not None and 0 < stats.anchor_tokens <= stats.anchor_resident_tokens
    goes = turn_words(turn) if turn else "not resident"
    return [
        verdict(found, turn, whole=whole),
        f"comes  {_back_words(found)}",
        f"chance {_chance(run, table, agent, now_ns)}",
        f"anchor {goes}",
        *_scored(run, table, agent),
    ]


def verdict(found: Back, turn: Turn | None, *, whole: bool) -> str:
    """What the next request will find of the anchor, if the pace stays what it is."""
    if not whole:
        return "its next request computes its anchor again"
    if turn is None:
        return "when its anchor goes is not known"
    if turn.pinned:
        return "its anchor stays: it is pinned"
    if found.due_s is None:
        return "too few requests to tell when it is back"
    if not turn.per_s:
        return "its anchor stays: nothing is computed now"
    goes_s = turn.needed_tokens / turn.per_s
    if found.due_s <= 0:
        return f"its anchor is there now; overdue, and its turn to go in {seconds(goes_s)}"
    there = "will be there" if goes_s > found.due_s else "will be gone"
    return f"its anchor {there}: due in {seconds(found.due_s)}, its turn to go in {seconds(goes_s)}"


def _back_words(found: Back) -> str:
    if found.last_s is None:
        return "not among the last requests"
    if found.gap_s is None or found.due_s is None:
        return f"once lately, {seconds(found.last_s)} ago"
    when = f"due in {seconds(found.due_s)}" if found.due_s > 0 else f"overdue by {seconds(abs(found.due_s))}"
    return f"every {seconds(found.gap_s)}, last {seconds(found.last_s)} ago: {when}"


def _chance(run: RunState, table: PoliciesTable | None, agent: str, now_ns: int) -> str:
    ours = survival_of(run, agent, now_ns)
    words = f"{ours:.2f} within {SURVIVAL_STEPS} steps of a live session"
    theirs = table.survival.get(agent) if table else None
    return words if theirs is None else f"{words}; the policy says {theirs:.2f}"


def _scored(run: RunState, table: PoliciesTable | None, agent: str) -> Iterable[str]:
    """What the policy in force gives its anchor, with the parts."""
    scores = table.scores if table else ()
    own = (view for view in holding(run, agent) if view.agents == (agent,))
    score = next((score for view in own if (score := score_of(view, scores)) is not None), None)
    if score is not None:
        yield f"score  {score.key:.3g}: {parts(score.parts) or 'no parts'}"
