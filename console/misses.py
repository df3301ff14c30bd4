"""Evictions that hurt, as people count them: by the requests that computed something again. Pure.

One miss may be owed to many evicted nodes: what an agent shares with others went in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from radixdeck.policies.residency import AgentStats, Hurt, RunState

from .words import count


def misses(hurts: Iterable[Hurt]) -> int:
    """How many requests computed again what these evictions took."""
    return len({(hurt.t_ns, hurt.rid) for hurt in hurts})


def miss_words(hurts: Sequence[Hurt]) -> str:
    """'10 misses (19 nodes)'."""
    found = misses(hurts)
    return f"{found:,} {'miss' if found == 1 else 'misses'} ({count(len(hurts), 'node')})"


def hurt_words(stats: AgentStats, run: RunState) -> str:
    """What hurt an agent since the run began; nodes alone where the run no longer keeps all of them."""
    kept = [hurt for hurt in run.hurts if hurt.agent == stats.agent]
    whole = len(kept) == stats.evictions_that_hurt
    return miss_words(kept) if whole else count(stats.evictions_that_hurt, "node")
