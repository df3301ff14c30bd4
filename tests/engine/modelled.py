"""The modelled cache held against a recording of the real engine: request by request, eviction by eviction."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from radixdeck.policies.events import (
    AnyEvent,
    EngineEvent,
    Event,
    NodeAdded,
    NodeEvicted,
    NodeSplit,
    PrefixInserted,
    PrefixMatched,
)
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Recorded, what_if

COMPARED: dict[type[Event], tuple[str, ...]] = {
    PrefixMatched: ("rid", "cached_tokens", "anchor_tokens"),
    PrefixInserted: ("rid", "phase", "total_tokens", "new_tokens"),
    NodeAdded: ("start", "tokens", "agent", "session", "role"),
    NodeSplit: ("upper_tokens",),
    NodeEvicted: ("start", "tokens", "agents", "role", "session", "by_rid", "score"),
}


def spans(events: Iterable[AnyEvent], kind: type[Event]) -> list[tuple[object, ...]]:
    """What happened to the tree, by place and owner: nodes have other numbers in the model, and other clocks."""
    return [tuple(getattr(event, name) for name in COMPARED[kind]) for event in events if isinstance(event, kind)]


def check_model(path: Path, policy: str, requests: int, chunk_tokens: int | None = None) -> list[NodeEvicted]:
    """Every one of at least so many requests is served the same, and every insert, split and eviction is the same, with
    the same score. Returns the evictions."""
    with open_session(path) as session:
        modelled: list[EngineEvent] = []
        recorded = Recorded(session)
        outcome = what_if(recorded, policy, take=modelled.append)
        numbered = session.events(0, 1_000_000)
    happened = [event for _, event in numbered]
    # What the real engine served from its cache, warm-ups included.
    real = {seq: event.cached_tokens for seq, event in numbered if isinstance(event, PrefixMatched)}
    assert len(outcome.cached_by_request) == len(real) >= requests
    assert outcome.cached_by_request == real
    assert recorded.chunk_tokens == chunk_tokens or chunk_tokens is None
    assert outcome.recorded_tokens < outcome.bound_tokens
    for kind in COMPARED:
        assert spans(modelled, kind) == spans(happened, kind)
    return [event for event in happened if isinstance(event, NodeEvicted)]
