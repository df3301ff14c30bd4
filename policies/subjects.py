"""Which subject a cache node belongs to: the one rule by which the engine queues, the daemon scores and a reader looks
scores up."""

from __future__ import annotations

from .events import NO_NODE, Role
from .primitives import Subject

MAX_AGENTS_IN_SUBJECT = 8
EVERYBODY = ("*",)


def subject_of(role: Role, agents: tuple[str, ...], session: str = "", node: int = NO_NODE) -> Subject:
    """The subject of a node with these owners (sorted). `node`: its id if an operator singled it out, else NO_NODE."""
    return Subject(
        role=role,
        agents=agents if len(agents) <= MAX_AGENTS_IN_SUBJECT else EVERYBODY,
        session=session if role == "private" else "",
        node=node,
    )
