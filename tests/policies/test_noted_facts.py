"""A doorkeeper says which facts it is told of: what it leaves out changes nothing in it, and what it heeds does."""

from __future__ import annotations

import pickle
from typing import cast

import pytest

from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import (
    Answered,
    Asked,
    BaseDoorkeeper,
    Came,
    DoorFact,
    Doorkeeper,
    Entered,
    Left,
    Matched,
)
from radixdeck.policies.events import PolicyFailed
from radixdeck.policies.registry import BUILT_IN, create

ASKED = Asked(rid="r1", agent="a", session="s", about_tokens=300, output_tokens=9)
FACTS: tuple[DoorFact, ...] = (
    Came(t_s=1.0, asked=ASKED),
    Entered(t_s=2.0, asked=ASKED),
    Matched(t_s=3.0, asked=ASKED, prompt_tokens=310, cached_tokens=200, anchor_tokens=150),
    Answered(t_s=4.0, asked=ASKED, after_s=2.0),
    Left(t_s=5.0, asked=ASKED, entered=True, prompt_tokens=310, output_tokens=9),
)  # fmt: skip
KEEPERS = [name for name in sorted(BUILT_IN) if isinstance(create(name), Doorkeeper)]
RULES = "[everybody]\ntokens_per_minute = 100000"


def made(name: str) -> BaseDoorkeeper:
    host = DoorHost([name])
    if name == "safety":
        host.obey(name, RULES)
    return cast("BaseDoorkeeper", dict(host.on)[name])


def state(keeper: BaseDoorkeeper) -> bytes:
    return pickle.dumps(vars(keeper))


@pytest.mark.parametrize("name", KEEPERS)
def test_what_is_not_heeded_would_change_nothing(name: str) -> None:
    keeper = made(name)
    for fact in FACTS:
        before = state(keeper)
        keeper.notice(fact)
        if keeper.notes and type(fact) not in keeper.notes:
            assert state(keeper) == before, fact


@pytest.mark.parametrize("name", KEEPERS)
def test_what_is_heeded_is_of_use(name: str) -> None:
    keeper = made(name)
    changed: set[type[DoorFact]] = set()
    for fact in FACTS:
        before = state(keeper)
        keeper.notice(fact)
        if state(keeper) != before:
            changed.add(type(fact))
    assert changed == set(keeper.notes)


class Elsewhere:
    """Passes every call on, as a wrapper of another make does: nothing is in its class."""

    def __init__(self, inner: BaseDoorkeeper) -> None:
        self.admit, self.notice = inner.admit, inner.notice
        self.fails_closed, self.orders_sessions = inner.fails_closed, inner.orders_sessions


def test_one_that_passes_calls_on_is_asked_and_told() -> None:
    failures: list[PolicyFailed] = []
    host, inner = DoorHost([], failed=failures.append), made("fairness")
    host.on = [("wrapped", cast("Doorkeeper", Elsewhere(inner)))]
    before = state(inner)
    host.notice(FACTS[0])
    assert host.judge(ASKED, 1.0).order == ((0.0, 0.0),)
    assert state(inner) != before
    assert failures == []
