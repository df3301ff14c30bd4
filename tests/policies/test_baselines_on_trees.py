"""All baselines over whole streams: pure, unbreakable, and of the worth that is known of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from streams import engine_stream
from traffic import Shape, run
from tree_model import Node, TreeModel

from radixdeck.policies import registry
from radixdeck.policies.baselines.nodes import Nodes
from radixdeck.policies.events import EngineEvent
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import Subject
from radixdeck.policies.tree.ownership import Who

BASELINES = sorted(name for name, target in registry.BUILT_IN.items() if target.startswith("baselines."))
PIPELINE = Shape("pipeline", agents=6, tool_share=0.2, requests=250)
TIGHT_TOKENS = 6_000
SUBJECTS = [
    Subject("unowned"),
    Subject("shared", ("*",)),
    *(Subject("anchor", (name,)) for name in ("coder", "agent1", "agent2", "agent3")),
    *(Subject("private", (name,), session) for name in ("coder", "agent1") for session in ("", "s0", "s3")),
]


def test_there_are_the_eight_of_them_and_lru_page_by_page():
    assert BASELINES == [
        "cachesage", "cachescout", "cachescout_sessions", "kvflow", "lfu", "lru_pages", "protect_shared", "slru",
        "ttl_pinning",
    ]  # fmt: skip


@pytest.mark.parametrize("name", BASELINES)
def test_twins_agree_and_asking_in_between_changes_nothing(name: str):
    engine = PolicyHost([name])
    tree = run(PIPELINE, name, TIGHT_TOKENS, host=engine).tree
    assert not [facts for facts in engine.info() if facts.failed]
    twin = PolicyHost([name])
    for event in tree.events:
        twin.observe(event)
    subjects = [*SUBJECTS, *{tree.owners.subject(node) for node in tree.leaves}]
    for subject in subjects:
        assert engine.score(subject, tree.now_s) == twin.score(subject, tree.now_s)


@given(engine_stream)
@settings(deadline=None, max_examples=60)
def test_no_stream_breaks_one(stream: list[EngineEvent]):
    for name in BASELINES:
        policy, twin = registry.create(name), registry.create(name)
        for event in stream:
            policy.observe(event)
            twin.observe(event)
            for subject in SUBJECTS[:4]:
                policy.score(subject, event.t_ns / 1e9)
        scores = [(policy.score(subject, 1e3), twin.score(subject, 1e3)) for subject in SUBJECTS]
        assert all(one == other and math.isfinite(one.key) for one, other in scores)


def test_what_would_go_next_is_what_goes_next(monkeypatch: pytest.MonkeyPatch):
    """The node that a baseline scores for a subject is the one that is evicted if the subject is chosen."""
    nodes = Nodes()
    seen: list[bool] = []
    say, evict = TreeModel.say, TreeModel._evict

    def listen(tree: TreeModel, event: EngineEvent) -> None:
        nodes.observe(event)
        say(tree, event)

    def compare(tree: TreeModel, node: Node, key: float, instead: int, who: Who) -> None:
        expected = nodes.next_to_go(tree.owners.subject(node.id))
        seen.append(expected is not None and (expected.id == node.id or tree.leaves[expected.id].locks > 0))
        evict(tree, node, key, instead, who)

    monkeypatch.setattr(TreeModel, "say", listen)
    monkeypatch.setattr(TreeModel, "_evict", compare)
    for policy in ("lru", "protect_shared", "kv_caching"):
        run(PIPELINE, policy, TIGHT_TOKENS)
    assert len(seen) > 500
    assert all(seen)


@pytest.mark.parametrize("name", ["protect_shared", "kvflow", "cachescout_sessions"])
def test_keeping_what_agents_share_pays_on_a_tight_pipeline(name: str):
    assert run(PIPELINE, name, TIGHT_TOKENS).hit_rate > run(PIPELINE, "lru", TIGHT_TOKENS).hit_rate + 0.02
