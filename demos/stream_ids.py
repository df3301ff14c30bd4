"""Callers that name themselves badly or not at all: what they say, and what the daemon makes of it before policies hear
of it. Prompts and times stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from radixdeck.policies.identity.identities import Identities
from radixdeck.policies.identity.prompts import CHAT_ROUTES

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


def identified(calls: Sequence[Call]) -> list[Call]:
    """The calls, which come in the order of their starts, as the daemon's front tells who they are of: its own code,
    told what callers say in headers and one message for each atom behind the anchor."""
    front, route = Identities(), min(CHAT_ROUTES)
    seen = [front.identify(_headers(call), route, _body(call), None, call.start_s) for call in calls]
    return [replace(call, agent=who.agent, session=who.session) for call, who in zip(calls, seen, strict=True)]


def _headers(call: Call) -> dict[str, str]:
    said = {"x-agent-id": call.agent, "x-session-id": call.session}
    return {header: name for header, name in said.items() if name}


def _body(call: Call) -> dict[str, Any]:
    """Two atoms are the same message if they are the same text."""
    head = [{"role": "system", "content": repr(call.prompt[: call.anchor_atoms])}] if call.fingerprint else []
    return {"messages": head + [{"role": "user", "content": repr(atom)} for atom in call.prompt[call.anchor_atoms :]]}
