"""What kv_caching learns stays small, whatever it is told."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
from traffic import Shape, run, with_contents

from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.parameters import Tunable


class Learned(pickle.Pickler):
    """Writes what an object has of its own: what its class declares is there once, however many policies run, and what
    the class is called is not learned at all."""

    def persistent_id(self, obj: Any) -> str | None:
        if isinstance(obj, type):
            return obj.__name__
        return obj.name if isinstance(obj, Tunable) else None


def learned_bytes(policy: KvCaching) -> int:
    Learned(written := io.BytesIO()).dump(policy)
    return written.tell()


@pytest.mark.parametrize("kv_tokens", [49_000, 60_000], ids=["all blocks followed", "every other one"])
@pytest.mark.parametrize("told", [True, False], ids=["ends told", "ends not told"])
@pytest.mark.parametrize("sessions", [4, 16, 40])
def test_what_is_learned_of_24_agents_stays_below_44_kb(sessions: int, told: bool, kv_tokens: int):
    shape = Shape("random", agents=24, sessions=sessions, requests=600, ends_told=told)
    policy, largest = KvCaching(), 0
    tree = run(shape, "lru", kv_tokens).tree
    for number, event in enumerate(with_contents(tree.events)):
        policy.observe(event)
        if number % 100 == 0:
            largest = max(largest, learned_bytes(policy))
    assert max(largest, learned_bytes(policy)) < 44_000
