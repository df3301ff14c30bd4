"""What is said while the observer in the engine is broken: nothing of its tree is told, what is shown is old. Pure."""

from __future__ import annotations

from radixdeck.policies.residency import RunState
from radixdeck.policies.tree.sight import why_blind

from .words import printable, time_of_day


def blind_words(run: RunState) -> str:
    """Why, since when, and until when; '' while it sees."""
    if not run.blind:
        return ""
    return printable(
        f"nothing of the cache is seen since {time_of_day(run.blind_ns)}: {why_blind(run.blind)}. "
        f"SGLang's own order is used until a flush or a new engine"
    )


def unseen_since(run: RunState) -> str:
    """'not seen since 13:05:59.3', for titles; '' while it sees."""
    return f"not seen since {time_of_day(run.blind_ns)}" if run.blind else ""
