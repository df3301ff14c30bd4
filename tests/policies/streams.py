"""Hypothesis strategies for event streams: any event, with ids drawn from small pools so that they meet."""

from __future__ import annotations

import typing
from types import NoneType, UnionType
from typing import Any, Literal

import msgspec
from hypothesis import strategies as st

from radixdeck.policies import events

POOLS: dict[str, list[Any]] = {
    "rid": [f"r{i}" for i in range(8)],
    "base_rid": ["", "r0", "r1"],
    "agent": ["", "planner", "coder", "critic"],
    "by_agent": ["", "planner", "coder"],
    "session": ["", "s0", "s1", "s2"],
    "node": [-1, 0, 1, 2, 3, 4, 5],
    "upper": [-1, 1, 2, 6, 7],
    "parent": [-1, 0, 1, 2, 3, 9],
    "policy": ["lru", "kv_caching", "operator", "nobody"],
}
_NUMBERS = {int: st.integers(-5, 400), float: st.floats(-5, 500, allow_nan=False)}


def _values(name: str, kind: Any) -> st.SearchStrategy[Any]:
    if name in POOLS:
        return st.sampled_from(POOLS[name])
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (UnionType, typing.Union):
        return st.one_of(*(st.none() if arg is NoneType else _values("", arg) for arg in args))
    if origin is tuple:
        return st.lists(st.sampled_from(POOLS["agent"]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.sampled_from(["a", "b"]), st.floats(0, 1), max_size=2)
    return _NUMBERS[kind] if kind in _NUMBERS else st.builds(kind)


def _event(kind: type[events.Event]) -> st.SearchStrategy[events.Event]:
    hints = typing.get_type_hints(kind)
    fields = {field.name: _values(field.name, hints[field.name]) for field in msgspec.structs.fields(kind)}
    return st.builds(kind, **(fields | {"t_ns": st.integers(0, 10**12)}))


def kinds_in(union: Any) -> list[type[events.Event]]:
    return [kind for arg in typing.get_args(union) for kind in (kinds_in(arg) or [arg])]


any_event = st.one_of([_event(kind) for kind in events.KINDS.values()])
engine_event = st.one_of([_event(kind) for kind in kinds_in(events.EngineEvent)])
any_stream = st.lists(any_event, max_size=60)
engine_stream = st.lists(engine_event, max_size=60)
