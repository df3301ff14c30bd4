"""Callers that name themselves badly or not at all: what policies are told then. Prompts and times stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from .stream_spec import Call, Ids

Rename = Callable[[Call, int, Random], tuple[str, str]]
"""Agent and session that a call is said to be of."""

RENAMES: dict[Ids, Rename] = {
    "true": lambda call, _number, _rng: (call.agent, call.session),
    "one_agent": lambda call, _number, _rng: ("everybody", call.session),
    "one_session": lambda call, _number, _rng: (call.agent, "everything"),
    "all_equal": lambda _call, _number, _rng: ("everybody", "everything"),
    "session_per_request": lambda call, number, _rng: (call.agent, f"request {number}"),
    "agent_per_request": lambda call, number, _rng: (f"request {number}", call.session),
    "random": lambda _call, _number, rng: (f"agent{rng.randrange(12)}", f"s{rng.randrange(40)}"),
    "no_session": lambda call, _number, _rng: (call.agent, ""),
    "no_agent": lambda call, _number, _rng: ("", call.session),
    "none": lambda _call, _number, _rng: ("", ""),
}


def renamed(calls: Sequence[Call], ids: Ids, seed: int) -> list[Call]:
    """The calls as their callers would name them. An end of a session is then told of whatever the last call says."""
    if ids == "true":
        return list(calls)
    rng, rename = Random(f"ids {ids} {seed}"), RENAMES[ids]
    named = [rename(call, number, rng) for number, call in enumerate(calls)]
    return [replace(call, agent=agent, session=session) for call, (agent, session) in zip(calls, named, strict=True)]
