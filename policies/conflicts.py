"""Settling what contradicts: safety has the last word, then the operator, then fairness, then the other policies."""

from __future__ import annotations

from .events import ActionKind
from .primitives import Action

_RANK = {"safety": 0, "operator": 1, "fairness": 2}
_LAST = 3

_CLASHES: frozenset[tuple[ActionKind, ActionKind]] = frozenset(
    {
        ("pin", "unpin"),
        ("pin", "evict"),
        ("warm", "evict"),
        ("retain", "evict"),
        ("boost", "evict"),
        ("quarantine", "warm"),
        ("quarantine", "release"),
    }
)


def rank(policy: str) -> tuple[int, str]:
    """Sorts policies by authority: the one with the last word first."""
    return _RANK.get(policy, _LAST), policy


def settle(wanted: list[tuple[str, Action]]) -> list[tuple[str, Action]]:
    """The actions that stand, most authoritative policy first. An action falls if one of the same target that stands
    opposes it, or is the same kind."""
    standing: list[tuple[str, Action]] = []
    for policy, action in sorted(wanted, key=lambda pair: rank(pair[0])):
        if not any(_contradicts(other, action) for _, other in standing):
            standing.append((policy, action))
    return standing


def _contradicts(standing: Action, action: Action) -> bool:
    if (standing.agent, standing.node) != (action.agent, action.node):
        return False
    kinds = (standing.kind, action.kind)
    same = standing.kind == action.kind and standing.session == action.session
    return same or kinds in _CLASHES or kinds[::-1] in _CLASHES
