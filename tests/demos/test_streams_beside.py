"""Streams that differ in hints alone share what is computed of their demand, and nothing else."""

from __future__ import annotations

from radixdeck.demos.stream_spec import StreamSpec
from radixdeck.demos.streams import generate_stream

PLAIN = StreamSpec(seed=5, requests=120)
HINTED = StreamSpec(seed=5, requests=120, tells_ends=True, tells_next=True)


def test_streams_that_differ_in_hints_share_what_is_computed_of_demand() -> None:
    plain, hinted = generate_stream(PLAIN), generate_stream(HINTED)
    kv_tokens = plain.working_set_tokens // 3
    shared = hinted.beside(plain)
    assert shared.reference(kv_tokens) is plain.reference(kv_tokens)
    assert shared.uses is plain.uses
    assert shared.reference(kv_tokens) == generate_stream(HINTED).reference(kv_tokens)
    assert (shared.moments, shared.contents) == (hinted.moments, hinted.contents)


def test_a_stream_of_another_demand_shares_nothing() -> None:
    plain = generate_stream(PLAIN)
    for other in (StreamSpec(seed=6, requests=120), StreamSpec(seed=5, requests=119)):
        stream = generate_stream(other)
        assert stream.beside(plain) is stream
