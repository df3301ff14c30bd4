"""Fairness orders evictions beside the policy that holds the slot: models of a run have it on where the run had."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from storage_samples import recorded

from radixdeck.demos.streams import StreamSpec, generate_stream
from radixdeck.policies import events as ev
from radixdeck.policies.host import OPERATOR
from radixdeck.policies.primitives import BasePolicy
from radixdeck.policies.registry import BUILT_IN, create
from radixdeck.storage.always_on import BESIDE, on_beside
from radixdeck.storage.beside import Beside
from radixdeck.storage.evaluate import evaluate
from radixdeck.storage.session import open_session
from radixdeck.storage.side import SideSpec
from radixdeck.storage.streams import Stream
from radixdeck.storage.whatif import AS_IT_WAS, Recorded, what_if

SHARES = {"fairness": {"cache_share": 0.2}}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return generate_stream(StreamSpec(seed=13, requests=120))


def run_of(stream: Stream, *, fair: bool) -> list[ev.AnyEvent]:
    """What an engine would have reported under LRU."""
    events: list[ev.AnyEvent] = []
    evaluate(stream, "lru", stream.working_set_tokens // 2, beside=SHARES if fair else {}, take=events.append)
    started, *told = [msgspec.structs.replace(e, step=0) if hasattr(e, "step") else e for e in events]
    return [msgspec.structs.replace(started, policy="lru"), *told]


def served(events: list[ev.AnyEvent]) -> list[int]:
    return [event.cached_tokens for event in events if isinstance(event, ev.PrefixMatched)]


def found(path: Path, events: list[ev.AnyEvent], policy: str, **section: Any) -> list[int]:
    path.unlink(missing_ok=True)
    asyncio.run(recorded(path, events, policy=section))
    with open_session(path) as session:
        return [*what_if(Recorded(session), policy).cached_by_request.values()]


def test_it_is_about_every_policy_that_scores_and_has_no_slot() -> None:
    scoring = {name for name in BUILT_IN if type(create(name)).score is not BasePolicy.score}
    assert {name for name in scoring if not create(name).slot} - {OPERATOR} == BESIDE


@pytest.mark.parametrize("policy", ["lru", AS_IT_WAS])
def test_a_what_if_serves_what_the_run_served(stream: Stream, policy: str, tmp_path: Path) -> None:
    path, fair, plain = tmp_path / "run.db", run_of(stream, fair=True), run_of(stream, fair=False)
    assert served(fair) != served(plain)
    on = {"enabled": ["lru", "fairness"], "tunables": SHARES}
    assert found(path, fair, policy, **on) == served(fair)
    assert found(path, plain, policy, enabled=["lru"], tunables=SHARES) == served(plain)
    switched = ev.PolicySwitched(t_ns=0, policy="fairness", enabled=True)
    assert found(path, [switched, *fair], policy, enabled=["lru"], tunables=SHARES) == served(fair)
    off = msgspec.structs.replace(switched, enabled=False)
    assert found(path, [off, *plain], policy, **on) == served(plain)


@pytest.mark.parametrize("switched", [False, True])
def test_so_does_a_model_beside_the_stream(stream: Stream, switched: bool) -> None:
    fair = run_of(stream, fair=True)
    events = [ev.PolicySwitched(t_ns=0, policy="fairness", enabled=True), *fair] if switched else fair
    spec = SideSpec("lru", SHARES, beside=() if switched else ("fairness",))
    beside = Beside([spec], stream.working_set_tokens // 2, cold=False)
    for seq, event in enumerate(events, 1):
        beside.take(seq, event)
    assert list(beside.work())
    assert beside.view(0).sides[0].cached_tokens == sum(served(fair)) != sum(served(run_of(stream, fair=False)))


@pytest.mark.parametrize(
    ("config", "switched", "on"),
    [
        ({"policy": {"enabled": ["lru", "fairness", "safety"]}}, {}, ("fairness",)),
        ({"policy": {"enabled": ["lru", "fairness"]}}, {"fairness": False}, ()),
        ({"policy": {"enabled": ["lru"]}}, {"fairness": True, "safety": True}, ("fairness",)),
        ({"policy": {}}, {}, ()),
        ({}, {}, ()),
        ({"policy": "odd"}, {}, ()),
        ({"policy": {"enabled": 7}}, {}, ()),
    ],
)
def test_what_was_on_is_what_was_configured_as_switched_since(
    config: dict[str, Any], switched: dict[str, bool], on: tuple[str, ...]
) -> None:
    assert on_beside(config, switched) == on
