"""Whatever of ours goes wrong, SGLang's order takes over, it is said once, and every request is served."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from agent_traffic import Workload

from radixdeck.policies import registry
from radixdeck.policies.events import EngineEvent, NodeEvicted, PolicyFailed, PrefixMatched
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import BasePolicy, Score, Subject

Maker = Callable[..., Any]


class Raising(BasePolicy):
    name: ClassVar[str] = "raising"
    doc: ClassVar[str] = "Raises in one of its calls."
    call: ClassVar[str] = "score"

    def observe(self, event: EngineEvent) -> None:
        if self.call == "observe" and isinstance(event, PrefixMatched):
            raise RuntimeError("cannot observe")

    def score(self, subject: Subject, now_s: float) -> Score:
        if self.call == "score":
            raise RuntimeError("cannot score")
        return Score(float("nan") if self.call == "nan" else 0.0)


def served(bench: Any, reference: Any, turns: int = 150) -> None:
    workload = Workload(5)
    for _ in range(turns):
        tokens, identity, output = workload.next()
        assert bench.request(tokens, output, **identity) == reference.request(tokens, output)
    bench.cache.sanity_check()


@pytest.mark.parametrize("call", ["score", "observe", "nan"])
def test_a_policy_that_raises_is_off_and_lru_takes_over(
    stock: Maker, ours: Maker, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    module = ModuleType("raising")
    module.Raising = Raising  # type: ignore[attr-defined]
    monkeypatch.setattr(Raising, "call", call)
    monkeypatch.setitem(sys.modules, "radixdeck.policies.raising", module)
    monkeypatch.setitem(registry.BUILT_IN, "raising", "raising:Raising")
    bench = ours(400, policies=["raising"])
    served(bench, stock(400))
    assert [event.policy for event in bench.kinds(PolicyFailed)] == ["raising"]
    assert bench.kinds(NodeEvicted)


@pytest.mark.parametrize("broken", ["choose", "add", "discard", "move"])
def test_a_broken_index_hands_over_to_sglangs_order_until_a_flush(
    stock: Maker, ours: Maker, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    bench, reference = ours(400), stock(400)
    served(bench, reference, 40)

    def fail(*_: Any) -> None:
        raise RuntimeError("index on fire")

    with monkeypatch.context() as patch:
        patch.setattr(bench.observer.index, broken, fail)
        served(bench, reference)
    assert [(event.policy, event.error) for event in bench.kinds(PolicyFailed)] == [
        ("radixdeck", "RuntimeError: index on fire")
    ]
    assert bench.observer.broken
    for side in (bench, reference):
        side.cache.reset()
        side.allocator.clear()
    assert not bench.observer.broken
    served(bench, reference)
    assert len(bench.kinds(PolicyFailed)) == 1


def test_a_wrong_choice_is_not_carried_out(stock: Maker, ours: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    from radixdeck.policies.tree.victims import Choice

    bench = ours(400)
    monkeypatch.setattr(bench.observer.index, "choose", lambda _: Choice(0, Subject("unowned"), Score(0.0), 0))
    served(bench, stock(400))
    assert [event.call for event in bench.kinds(PolicyFailed)] == ["choose"]


def test_a_request_that_cannot_be_reported_is_served(
    stock: Maker, ours: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = ours(400)

    def fail(*_: Any) -> None:
        raise ValueError("no hashes today")

    monkeypatch.setattr(bench.cache.requests._sketcher, "sketch", fail)
    served(bench, stock(400))
    assert [event.call for event in bench.kinds(PolicyFailed)] == ["dispatched"]
    assert not bench.observer.broken


@pytest.mark.parametrize(
    "told",
    [
        {"agent": ""},
        {"agent": "a"},
        {"agent": "a", "session": 7},
        {"agent": "a", "session": "s", "anchor": -1},
        {"agent": "a", "session": "s", "anchor": "many"},
        {"agent": "a" * 300, "session": "s"},
        {"agent": None, "session": None},
    ],
)
def test_a_broken_identity_makes_a_request_nobodys(ours: Maker, told: dict[str, Any]) -> None:
    bench = ours(300)
    bench.request(list(range(3, 53)), **told)
    (matched,) = bench.kinds(PrefixMatched)
    assert (matched.agent, matched.session, matched.anchor_tokens) == ("", "", 0)
    assert not bench.kinds(PolicyFailed)


@pytest.mark.parametrize(
    ("key", "agent"),
    [
        ('radixdeck:{"agent":"a","session":"s"}', "a"),
        ("radixdeck:", ""),
        ("radixdeck:{nonsense", ""),
        ('radixdeck:{"agent":"a","session":"\\ud800"}', ""),
        ("another router's key", ""),
        (None, ""),
        (17, ""),
    ],
)
def test_identity_in_the_routing_key(key: Any, agent: str) -> None:
    from types import SimpleNamespace

    from radixdeck.daemon.engine.identity import who_asks

    params = SimpleNamespace(custom_params={"__req__": object(), "radixdeck": None})
    assert who_asks(SimpleNamespace(rid="r", routing_key=key, sampling_params=params)).agent == agent


@pytest.mark.parametrize(("name", "agent"), [("planner", "planner"), ("\ud800", ""), ("a\nb", ""), ("", "")])
def test_names_that_no_event_could_carry_are_nobodys(name: str, agent: str) -> None:
    from types import SimpleNamespace

    from radixdeck.daemon.engine.identity import who_asks

    params = SimpleNamespace(custom_params={"radixdeck": {"agent": name, "session": "s"}})
    assert who_asks(SimpleNamespace(rid="r", sampling_params=params)).agent == agent


def test_a_policy_may_score_in_numpys_numbers(ours: Maker, stock: Maker) -> None:
    class InNumpy(PolicyHost):
        def score(self, subject: Subject, now_s: float) -> Score:
            return Score(np.float32(0.0), {"rate": np.float32(0.5), "count": np.int64(3)})  # type: ignore[arg-type]

    bench = ours(400, host=InNumpy(["lru"]))
    served(bench, stock(400))
    evictions = bench.kinds(NodeEvicted)
    assert {(event.score, *event.parts.items()) for event in evictions} == {(0.0, ("rate", 0.5), ("count", 3.0))}
    assert msgspec.json.decode(msgspec.json.encode(evictions), type=list[NodeEvicted]) == evictions


def test_batches_that_sglang_takes_back_break_nothing(ours: Maker) -> None:
    from sglang.srt.managers.schedule_batch import retract_all

    from radixdeck.daemon.engine.hooks import extended_tokens

    bench, shared = ours(300), list(range(3, 103))
    bench.request(shared, 1, agent="a", session="s0")
    reqs = [
        bench.start([*shared, *range(500 + 20 * n, 512 + 20 * n)], agent="a", session=f"s{n}").req for n in range(8)
    ]
    bench.cache.requests.allocating_for(reqs, extended_tokens)
    retract_all(
        reqs=reqs, req_to_token_pool=bench.rows, token_to_kv_pool_allocator=bench.allocator, tree_cache=bench.cache,
        hisparse_coordinator=None, offload_kv=False,
    )  # fmt: skip
    assert bench.kinds(NodeEvicted), "room was made for the retracted as they left, one by one"
    assert not bench.kinds(PolicyFailed)
    before = len(bench.kinds(NodeEvicted))
    bench.request(list(range(3000, 3200)), 3, agent="z", session="z")
    assert len(bench.kinds(NodeEvicted)) > before
    bench.cache.sanity_check()


def test_on_several_ranks_the_cache_only_watches(stock: Maker, ours: Maker) -> None:
    from radixdeck.daemon.engine.control import Control
    from radixdeck.daemon.engine.protocol import Act
    from radixdeck.policies.primitives import Action

    class Contrary(PolicyHost):
        splits_anchors = True  # type: ignore[assignment]

        def score(self, subject: Subject, now_s: float) -> Score:
            return Score(float(hash(subject.session) % 7))

    bench = ours(400, host=Contrary(["lru"]), acts=False)
    served(bench, stock(400))
    assert bench.kinds(NodeEvicted)
    answer = Control(bench.cache, bench.observer).obey(Act("1", Action("evict", agent="agent0")))
    assert not answer.ok
    assert "several ranks" in answer.detail
