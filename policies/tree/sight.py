"""Whether this layer still sees what happens to the tree of the engine that it runs in.

Its observer breaks for good when one of its methods raises (see observer.py): from then on SGLang's own order is used,
and of the tree nothing is told, until a flush or a new engine. Other failures of this layer cost one report each.
"""

from __future__ import annotations

from ..events import PolicyFailed

NAME = "radixdeck"
"""The policy named in PolicyFailed when it is this layer that failed, rather than one of its policies."""
STILL_SEES = frozenset(("dispatched", "inserted", "obey"))
"""Calls of this layer that fail by themselves: one request is not told of, one order is not carried out."""


def why_blind(blind: str) -> str:
    """`RunState.blind` in a sentence, '' while the observer sees."""
    return blind and f"radixdeck's observer broke in {blind}"


def said(error: Exception) -> str:
    """An error as PolicyFailed tells it."""
    return f"{type(error).__name__}: {error}"


def blinds(event: PolicyFailed) -> bool:
    """Whether this failure broke the observer."""
    return event.policy == NAME and event.call not in STILL_SEES
