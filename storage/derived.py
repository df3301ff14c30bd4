"""From an event to the rows a person queries: agents, sessions, requests, decisions, commands, tunables.

A row names only the columns its event knows, so that facts about one request arrive in any order and none erases
another. Derived rows can be made again from the events at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from radixdeck.policies import events as ev

Columns = dict[str, Any]
Row = tuple[str, Columns]
"""Table name, and the columns to insert or update; the table's key is among them."""

KEYS = {
    "agents": "agent",
    "sessions": "session",
    "requests": "rid",
    "decisions": "seq",
    "commands": "seq",
    "tunables": "seq",
}
WRITTEN_ONCE = frozenset({"first_ns"})
"""Columns that keep the value of the first row that set them."""


def rows_of(seq: int, at_ns: int, event: ev.AnyEvent) -> list[Row]:
    """The derived rows of one event; none for most kinds."""
    make = _MAKERS.get(type(event))
    return make(seq, at_ns, event) if make else []


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _seen(event: ev.RequestArrived | ev.PrefixMatched) -> list[Row]:
    """The agent and the session of a request, each with the time they were last heard of."""
    heard = {"first_ns": event.t_ns, "last_ns": event.t_ns}
    return [
        ("agents", {"agent": event.agent, **heard}),
        ("sessions", {"session": event.session, "tenant": event.tenant, **heard}),
    ]


def _who(event: ev.RequestArrived | ev.PrefixMatched) -> Columns:
    return {"rid": event.rid, "agent": event.agent, "session": event.session, "tenant": event.tenant}


def _arrived(_seq: int, _at_ns: int, event: ev.RequestArrived) -> list[Row]:
    return [*_seen(event), ("requests", {**_who(event), "route": event.route, "arrived_ns": event.t_ns})]


def _matched(_seq: int, _at_ns: int, event: ev.PrefixMatched) -> list[Row]:
    facts = {
        "matched_ns": event.t_ns,
        "prompt_tokens": event.prompt_tokens,
        "cached_tokens": event.cached_tokens,
        "anchor_tokens": event.anchor_tokens,
        "warm": int(event.warm),
    }
    return [*_seen(event), ("requests", {**_who(event), **facts})]


def _refused(_seq: int, _at_ns: int, event: ev.RequestRefused) -> list[Row]:
    facts = {"status": event.status, "reason": event.reason, "finish": "refused", "finished_ns": event.t_ns}
    return [("requests", {"rid": event.rid, "agent": event.agent, **facts})]


def _first_token(_seq: int, _at_ns: int, event: ev.FirstTokenSent) -> list[Row]:
    return [("requests", {"rid": event.rid, "ttft_s": event.ttft_s})]


def _finished(_seq: int, _at_ns: int, event: ev.RequestFinished) -> list[Row]:
    facts: Columns = {
        "rid": event.rid,
        "agent": event.agent,
        "session": event.session,
        "finished_ns": event.t_ns,
        "latency_s": event.latency_s,
        "status": event.status,
        "finish": event.finish,
    }
    known = {name: getattr(event, name) for name in ("ttft_s", "prompt_tokens", "output_tokens")}
    return [("requests", facts | {name: value for name, value in known.items() if value is not None})]


def _agent_seen(_seq: int, _at_ns: int, event: ev.AgentSeen) -> list[Row]:
    facts = {
        "agent": event.agent,
        "label": event.label,
        "fingerprint": event.fingerprint,
        "declared": int(event.declared),
        "versions": event.versions,
        "claimants": event.claimants,
        "first_ns": event.t_ns,
        "last_ns": event.t_ns,
    }
    return [("agents", facts)]


def _anchor(_seq: int, _at_ns: int, event: ev.AnchorMeasured) -> list[Row]:
    return [("agents", {"agent": event.agent, "anchor_tokens": event.tokens})]


def _session_ended(_seq: int, _at_ns: int, event: ev.SessionEnded) -> list[Row]:
    return [("sessions", {"session": event.session, "ended_ns": event.t_ns, "ended_why": event.reason})]


def _evicted(seq: int, at_ns: int, event: ev.NodeEvicted) -> list[Row]:
    facts = msgspec.structs.asdict(event)
    del facts["t_ns"], facts["part"]  # the event has the part, as parts of the score do
    facts |= {"agents": ",".join(event.agents), "parts": _json(event.parts), "to_host": int(event.to_host)}
    return [("decisions", {"seq": seq, "at_ns": at_ns, **facts})]


def _command(seq: int, at_ns: int, event: ev.CommandReceived) -> list[Row]:
    facts = msgspec.structs.asdict(event)
    del facts["t_ns"]
    facts |= {"ok": int(event.ok), "arguments": _json(event.arguments)}
    return [("commands", {"seq": seq, "at_ns": at_ns, **facts})]


def _tuned(seq: int, at_ns: int, event: ev.TunableChanged) -> list[Row]:
    facts = msgspec.structs.asdict(event)
    del facts["t_ns"]
    return [("tunables", {"seq": seq, "at_ns": at_ns, **facts})]


def _switched(seq: int, at_ns: int, event: ev.PolicySwitched) -> list[Row]:
    """A switch is kept among the tunables as `enabled`, 0 or 1."""
    facts = {"policy": event.policy, "name": "enabled", "value": float(event.enabled), "by": event.by}
    return [("tunables", {"seq": seq, "at_ns": at_ns, "why": event.why, **facts})]


_MAKERS: dict[type, Callable[[int, int, Any], list[Row]]] = {
    ev.RequestArrived: _arrived,
    ev.RequestRefused: _refused,
    ev.FirstTokenSent: _first_token,
    ev.RequestFinished: _finished,
    ev.AgentSeen: _agent_seen,
    ev.PrefixMatched: _matched,
    ev.NodeEvicted: _evicted,
    ev.SessionEnded: _session_ended,
    ev.AnchorMeasured: _anchor,
    ev.CommandReceived: _command,
    ev.TunableChanged: _tuned,
    ev.PolicySwitched: _switched,
}
