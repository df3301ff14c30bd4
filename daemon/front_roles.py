"""A transcript that several agents are shown, each its own words as an assistant's and those of others as a user's: is
it the same one, and how will the next agent be shown it?

That an agent is shown its own words so is learned from what it is sent; until then it is taken to see what others see.
"""

from __future__ import annotations

from typing import Any, cast

from radixdeck.policies.bounded import Bounded

MAX_AGENTS = 1_024
USER, ASSISTANT = "user", "assistant"

Messages = list[dict[str, Any]]


class Roles:
    """The agents that are shown their own words as an assistant's. One of which that is not known yet is taken to be
    like the one before it: who shares a transcript is mostly of one making."""

    def __init__(self) -> None:
        self._tells_apart: Bounded[str, bool] = Bounded(MAX_AGENTS)

    def go_on(self, agent: str, talk: Messages, before: str, said: Messages) -> bool:
        """Whether what `agent` is shown goes on where what agent `before` was shown ends, but for whose words are
        whose."""
        if len(talk) < len(said):
            return False
        found: set[str] = set()
        for one, other in zip(talk, said, strict=False):
            if one != other:
                if not _but_for_role(one, other):
                    return False
                found.add(agent if one["role"] == ASSISTANT else before)
        for name in found:
            self._tells_apart.put(name, True)
        return True

    def shown_to(self, agent: str, own: Messages, before: str, said: Messages) -> Messages:
        """What `agent` will be shown of what agent `before` was shown; `own`: what it was shown itself last, [] if
        nothing. What came next then is what it answered."""
        seen = own if len(own) <= len(said) and all(map(_alike, own, said)) else []
        return seen + [
            self._as_seen(message, agent, before, answered=bool(seen) and place == 0)
            for place, message in enumerate(said[len(seen) :])
        ]

    def _as_seen(self, message: dict[str, Any], agent: str, before: str, *, answered: bool) -> dict[str, Any]:
        apart = agent in self._tells_apart or before in self._tells_apart
        if answered and apart and _role(message) == USER:
            return {**message, "role": ASSISTANT}
        if not answered and before in self._tells_apart and _role(message) == ASSISTANT:
            return {**message, "role": USER}
        return message


def _alike(one: Any, other: Any) -> bool:
    return one == other or _but_for_role(one, other)


def _but_for_role(one: Any, other: Any) -> bool:
    """Whether both say the same, one as a user and the other as an assistant."""
    return {_role(one), _role(other)} == {USER, ASSISTANT} and {**one, "role": ""} == {**other, "role": ""}


def _role(message: Any) -> Any:
    """Its role if it is one of the two; whatever a caller sends as a message."""
    role = cast("dict[str, Any]", message).get("role") if isinstance(message, dict) else None
    return role if role in (USER, ASSISTANT) else None
