"""What is known of an engine whose observer broke: until when, and by which failures."""

from __future__ import annotations

import msgspec
import pytest
from folding import after

from radixdeck.policies.events import CacheFlushed, EngineLoadSampled, EngineStarted, PolicyFailed
from radixdeck.policies.residency import RunState, fold


def started() -> EngineStarted:
    return EngineStarted(t_ns=1, pid=1, model="tiny", capacity_tokens=1000, page_size=1, policy="lru")


BROKE = PolicyFailed(t_ns=7, policy="radixdeck", call="left", error="KeyError: 'stale'")


def test_a_broken_observer_is_remembered_until_a_flush_or_a_fresh_engine() -> None:
    state = after(started(), BROKE)
    assert (state.blind, state.blind_ns) == ("left: KeyError: 'stale'", 7)
    assert state.policies == {"lru": True}, "it is none of the policies"
    assert msgspec.json.decode(msgspec.json.encode(state), type=RunState) == state
    fold(state, EngineLoadSampled(t_ns=8, running=0, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=9))
    assert state.blind
    for mended in (CacheFlushed(t_ns=9), started()):
        again = after(started(), BROKE, mended)
        assert (again.blind, again.blind_ns) == ("", 0)


@pytest.mark.parametrize("call", ["dispatched", "inserted", "obey"])
def test_one_request_or_order_that_failed_blinds_nobody(call: str) -> None:
    one = PolicyFailed(t_ns=7, policy="radixdeck", call=call, error="x")
    assert after(started(), one).blind == ""


def test_a_policy_that_failed_blinds_nobody() -> None:
    state = after(started(), PolicyFailed(t_ns=7, policy="kv_caching", call="score", error="x"))
    assert (state.blind, state.policies) == ("", {"lru": True, "kv_caching": False})


def test_a_state_of_before_there_was_sight_is_read() -> None:
    assert msgspec.json.decode(b'{"policies": {"lru": true}}', type=RunState).blind == ""
