"""From an effect to its cause: this miss, that eviction, that insert, that request. Pure: folded facts, and the events
of them that the log still holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from radixdeck.policies import events as e
from radixdeck.policies.residency import Hurt, RunState

from .event_log import EventLog, LogLine
from .holders import holder
from .words import brief_id, ratio, seconds, tokens

STEPS = 12
"""A chain is not followed for longer."""


class Link(NamedTuple):
    """One step of a chain, the effect first. `seq`: the event's number, -1 where only the folded state knows of it."""

    what: str
    text: str
    t_ns: int
    seq: int = -1


Find = Callable[[e.AnyEvent], bool]


def hurt_of(event: e.AnyEvent, run: RunState) -> Hurt | None:
    """The eviction that hurt which an event is part of: as the miss, the eviction, or anything of the same request. A
    request that only caused one comes last."""
    for hurt in reversed(run.hurts):
        if isinstance(event, e.NodeEvicted):
            if _is_of(event, hurt):
                return hurt
        elif hurt.rid == getattr(event, "rid", None):
            return hurt
    rid = getattr(event, "rid", None)
    caused = (hurt for hurt in reversed(run.hurts) if rid and hurt.by_rid == rid)
    return None if isinstance(event, e.NodeEvicted) else next(caused, None)


def chain(hurt: Hurt, run: RunState, log: Iterable[LogLine]) -> list[Link]:
    """From the miss back to the request that caused it, and on from there where that one had been hurt itself."""
    lines = list(log)
    links: list[Link] = []
    met: set[tuple[str, int]] = set()
    following: Hurt | None = hurt
    while following is not None and len(links) < STEPS and (following.rid, following.node) not in met:
        met.add((following.rid, following.node))
        links += _links(following, run, lines)
        following = next((other for other in reversed(run.hurts) if other.rid == following.by_rid), None)
    return links


def chain_of_eviction(event: e.NodeEvicted, run: RunState, log: Iterable[LogLine]) -> list[Link]:
    """An eviction that has not hurt so far, back to the request it was for."""
    lines = list(log)
    quiet = Hurt(
        t_ns=event.t_ns, rid="", agent="", tokens=0, node=event.node, evicted_ns=event.t_ns, cause=event.cause,
        role=event.role, session=event.session, start=event.start, by_rid=event.by_rid, by_agent=event.by_agent,
    )  # fmt: skip
    nothing = Link("effect", "nobody has asked for these tokens again so far", event.t_ns)
    return [nothing, *_links(quiet, run, lines)[1:]]


def _links(hurt: Hurt, run: RunState, lines: list[LogLine]) -> list[Link]:
    return [_miss(hurt, run, lines), _eviction(hurt, lines), *_causes(hurt, run, lines)]


def _miss(hurt: Hurt, run: RunState, lines: list[LogLine]) -> Link:
    view = run.requests.get(hurt.rid)
    found = f" ({ratio(view.cached_tokens, view.prompt_tokens)} of its prompt was cached)" if view else ""
    waited = f", first token after {seconds(view.ttft_s)}" if view and view.ttft_s is not None else ""
    text = f"{hurt.agent}'s request {brief_id(hurt.rid)} computed {tokens(hurt.tokens)} again{found}{waited}"
    return _link("miss", text, hurt.t_ns, lines, lambda ev: isinstance(ev, e.PrefixMatched) and ev.rid == hurt.rid)


def _eviction(hurt: Hurt, lines: list[LogLine]) -> Link:
    whose = holder(hurt.role, (hurt.agent,) if hurt.agent and hurt.role != "shared" else (), hurt.session)
    before = f", {seconds((hurt.t_ns - hurt.evicted_ns) / 1e9)} before" if hurt.rid else ""
    text = f"node {hurt.node}, {whose}, from depth {hurt.start:,}, was evicted{before}"
    # A number alone does not tell it: each start of an engine counts its nodes from the beginning.
    known = _known(lines, lambda ev: isinstance(ev, e.NodeEvicted) and _is_of(ev, hurt))
    return Link("eviction", known.text if known else text, hurt.evicted_ns, known.seq if known else -1)


def _is_of(event: e.NodeEvicted, hurt: Hurt) -> bool:
    return hurt.node == event.node and hurt.evicted_ns == event.t_ns


def _causes(hurt: Hurt, run: RunState, lines: list[LogLine]) -> list[Link]:
    """What the eviction was for: a request and its insert, or what somebody ordered."""
    if hurt.cause != "allocation" or not hurt.by_rid:
        return [_ordered(hurt, lines)]
    view = run.requests.get(hurt.by_rid)
    who = hurt.by_agent or (view.agent if view else "") or "nobody"
    asked = view.prompt_tokens if view else 0
    new = hurt.by_tokens or (max(0, view.prompt_tokens - view.cached_tokens) if view else 0)
    size = f"{tokens(new)} that the cache did not hold" if new else "new tokens"
    pushed = f"; {tokens(view.evicted_tokens)} in all had to go for it" if view and view.evicted_tokens else ""
    room = f"{who}'s request {brief_id(hurt.by_rid)} needed room for {size}{pushed}"
    session = f" in {view.session}" if view and view.session else ""
    prompt = f", a prompt of {tokens(asked)}" if asked else ""
    request = f"{who} asked{session}: request {brief_id(hurt.by_rid)}{prompt}"
    return [
        _link("insert", room, hurt.evicted_ns, lines, _of(e.PrefixInserted, hurt.by_rid)),
        _link("request", request, view.arrived_ns if view else 0, lines, _of(e.RequestArrived, hurt.by_rid)),
    ]


def _ordered(hurt: Hurt, lines: list[LogLine]) -> Link:
    """The order that made the node go, as far as the log knows it."""
    words = {"operator": "an operator ordered it", "policy": "a policy wanted it", "flush": "the cache was flushed"}
    orders = (e.CommandReceived, e.ActionTaken, e.CacheFlushed)
    near = [
        line for line in lines if isinstance(line.event, orders) and abs(line.t_ns - hurt.evicted_ns) < 2_000_000_000
    ]
    text = near[-1].text if near else words.get(hurt.cause, "room was needed; the request is not known")
    return Link("order", text, near[-1].t_ns if near else hurt.evicted_ns, near[-1].seq if near else -1)


def _of(kind: type[e.Event], rid: str) -> Find:
    return lambda event: isinstance(event, kind) and getattr(event, "rid", "") == rid


def _known(lines: list[LogLine], wanted: Find) -> LogLine | None:
    return next((line for line in reversed(lines) if wanted(line.event)), None)


def _link(what: str, text: str, t_ns: int, lines: list[LogLine], wanted: Find) -> Link:
    known = _known(lines, wanted)
    return Link(what, text, known.t_ns if known else t_ns, known.seq if known else -1)


def follow(line: LogLine, run: RunState, log: EventLog) -> list[Link]:
    """The chain that an event is part of; empty where nothing is known to have caused it, or to have come of it."""
    hurt = hurt_of(line.event, run)
    if hurt is not None:
        return chain(hurt, run, log)
    if isinstance(line.event, e.NodeEvicted):
        return chain_of_eviction(line.event, run, log)
    return []
