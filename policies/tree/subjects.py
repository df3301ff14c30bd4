"""Which subject a cache node belongs to: the one rule by which the engine queues, the daemon scores and a reader looks
scores up."""

from __future__ import annotations

from ..events import NO_NODE, Part, Role
from ..primitives import Subject

MAX_AGENTS_IN_SUBJECT = 8
EVERYBODY = ("*",)


def subject_of(role: Role, agents: tuple[str, ...], session: str = "", node: int = NO_NODE, part: Part = "") -> Subject:
    """The subject of a node with these owners (sorted). `session`: '' unless it is live. `node`: its id if an operator
    singled it out, else NO_NODE."""
    private = role == "private"
    return Subject(
        role=role,
        agents=agents if len(agents) <= MAX_AGENTS_IN_SUBJECT else EVERYBODY,
        session=session if private else "",
        node=node,
        part=part if session or not private else "",
    )
