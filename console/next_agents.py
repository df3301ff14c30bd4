"""How well the next agent can be told from the present one: entropies of the counts, and guesses against what came."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from radixdeck.policies.residency import RunState

from .agent_facts import expected_next
from .words import clip, clip_middle, ratio, room_for

LEAST_NAMED, BESIDE_NAME = 18, 72
"""Columns for the name of a session, however little room there is, and for what is told beside it."""


class Predictability(NamedTuple):
    """From plain counts. `entropy_bits`: of the next agent, knowing nothing; `given_bits`: knowing the present one."""

    steps: int
    entropy_bits: float
    given_bits: float

    @property
    def share(self) -> float:
        """R = 1 - H(next | present) / H(next): 0 no better than chance, 1 certain. 0 where one agent always comes: the
        present one tells nothing about that."""
        return 1.0 - self.given_bits / self.entropy_bits if self.entropy_bits > 1e-9 else 0.0


def predictability(transitions: Mapping[str, Mapping[str, int]]) -> Predictability:
    """R of a table of counts. Few counts look more certain than they are."""
    columns: dict[str, int] = {}
    given = steps = 0.0
    for row in transitions.values():
        whole = sum(row.values())
        steps += whole
        given += whole * _bits(row.values())
        for agent, number in row.items():
            columns[agent] = columns.get(agent, 0) + number
    return Predictability(int(steps), _bits(columns.values()), given / steps if steps else 0.0)


def _bits(counts: Iterable[int]) -> float:
    positive = [count for count in counts if count > 0]
    whole = sum(positive)
    return sum(count / whole * math.log2(whole / count) for count in positive) if whole else 0.0


def live_sessions(run: RunState, limit: int, width: int) -> list[str]:
    """At most `limit` sessions below a title, the ones used last: where each is, who is expected next, and how often
    that was right in it. Nothing where there is none."""
    listed = list(islice(reversed(run.session_agent.items()), limit))
    named = room_for((session for session, _ in listed), LEAST_NAMED, width - BESIDE_NAME)
    lines = [f"{'session':<{named}}  {'is at':<14}  {'guesses right':<12} expected next"] if listed else []
    for session, agent in listed:
        guesses = run.guesses.get(session)
        right = f"{guesses.right:>4} of {guesses.made:<4}" if guesses else f"{'-':>4}{'':8}"
        expected = ", ".join(f"{clip(name, 14)} {ratio(share, 1)}" for name, share in expected_next(run, agent)[:3])
        where = f"{clip_middle(session, named):<{named}}  {clip(agent, 14):<14}"
        lines.append(clip(f"{where}  {right}  {expected or 'nothing is known yet'}", width))
    return lines


def summary(run: RunState, policy_share: float | None) -> str:
    """R and how often guessing by it was right, in two lines."""
    found = predictability(run.transitions)
    totals = run.totals
    said = f"; the policy in force says {policy_share:.2f}" if policy_share is not None else ""
    guessed = ratio(totals.guesses_right, totals.guesses)
    return (
        f"predictability R {found.share:.2f} from {found.steps:,} steps (next agent: {found.entropy_bits:.2f} bits, "
        f"{found.given_bits:.2f} knowing the present one){said}\n"
        f"the most frequent follower came {totals.guesses_right:,} of {totals.guesses:,} times ({guessed})"
    )
