"""One encoded sample of every event stays readable: golden_events.json holds what was once written."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from streams import kinds_in

from radixdeck.policies import events

GOLDEN: dict[str, dict[str, Any]] = {
    sample["k"]: sample for sample in json.loads((Path(__file__).parent / "golden_events.json").read_text())
}


def test_there_is_a_sample_of_every_kind():
    assert GOLDEN.keys() == events.KINDS.keys()
    assert {kind.__struct_config__.tag for kind in kinds_in(events.AnyEvent)} == GOLDEN.keys()


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_a_sample_means_what_it_meant(kind: str):
    event = events.decode(json.dumps(GOLDEN[kind]).encode())
    assert type(event) is events.KINDS[kind]
    assert json.loads(events.encode(event)) == GOLDEN[kind]


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_an_older_reader_and_an_older_writer_get_along(kind: str):
    struct = events.KINDS[kind]
    required = {field.name for field in msgspec.structs.fields(struct) if field.required}
    bare = {name: value for name, value in GOLDEN[kind].items() if name in required or name == "k"}
    assert isinstance(events.decode(json.dumps(bare | {"added_later": 1}).encode()), struct)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"k": "nobody", "t_ns": 1}', b'{"k": "cache_flushed"}', b"\xff"])
def test_garbage_is_refused_with_a_typed_error(data: bytes):
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        events.decode(data)


def test_unknown_kinds_in_a_batch_are_skipped_and_counted():
    batch = b'[{"k": "cache_flushed", "t_ns": 1}, {"k": "from_the_future", "t_ns": 2}, 7]'
    assert events.decode_known(batch) == ([events.CacheFlushed(t_ns=1)], 2)


def test_every_kind_is_in_exactly_one_stream_but_a_lost_engine():
    engine, front = set(kinds_in(events.EngineEvent)), set(kinds_in(events.FrontEvent))
    assert engine & front == set()
    assert engine | front == set(typing.cast(Any, events.KINDS).values())
