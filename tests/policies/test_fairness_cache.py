"""Fairness in the cache: a flood takes its own pages and leaves the others what they have."""

from __future__ import annotations

import pytest
from tree_model import Prompt, TreeModel

from radixdeck.policies import events as ev
from radixdeck.policies.fairness import GOES_FIRST, Fairness
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.ownership import Who
from radixdeck.policies.primitives import Subject
from radixdeck.policies.resident import ResidentTokens

CAPACITY, PAGE = 10_000, 700
POLITE = ("p1", "p2", "p3")


def ask(tree: TreeModel, agent: str, number: int, prompt: Prompt) -> int:
    tree.now_s += 1.0
    who = Who(f"{agent}.{number}", agent, f"{agent}-session", anchor=0)
    cached = tree.dispatch(who, prompt)
    tree.finish(who.rid, ((f"{agent}/out{number}", 10),))
    return cached


def begin(order: str, *, fair: bool, share: float = 0.5) -> TreeModel:
    host = PolicyHost([order, *(["fairness"] if fair else [])], {"fairness": {"cache_share": share}})
    tree = TreeModel(CAPACITY, host)
    pool = {"used_tokens": 0, "evictable_tokens": 0, "capacity_tokens": CAPACITY}
    tree.say(ev.EngineLoadSampled(t_ns=1, running=0, waiting=0, **pool))
    return tree


def found_after_a_flood(tree: TreeModel, pages: int = 40) -> int:
    """Tokens that three agents find of what they asked before somebody reads page after page."""
    own: dict[str, Prompt] = {agent: ((f"{agent}/talk", 1_000),) for agent in POLITE}
    for agent in POLITE:
        ask(tree, agent, 0, own[agent])
    for number in range(pages):
        ask(tree, "greedy", number, ((f"page{number}", PAGE),))
    return sum(ask(tree, agent, 1, own[agent]) for agent in POLITE)


def held(tree: TreeModel, agent: str) -> int:
    resident = ResidentTokens()
    for event in tree.events:
        resident.observe(event)
    return resident.of(agent)


def test_a_flood_flushes_the_others_unless_the_cache_is_shared_fairly() -> None:
    assert found_after_a_flood(begin("lru", fair=False)) == 0
    assert found_after_a_flood(begin("lru", fair=True, share=1.0)) == 0, "switched off"
    assert found_after_a_flood(begin("lru", fair=True)) == 3_000
    assert found_after_a_flood(begin("kv_caching", fair=True)) == 3_000


@pytest.mark.parametrize("share", [0.4, 0.5, 0.8])
def test_a_flood_ends_at_its_share_and_has_all_that_nobody_else_wants(share: float) -> None:
    tree = begin("lru", fair=True, share=share)
    for number in range(20):
        ask(tree, "greedy", number, ((f"page{number}", PAGE),))
    assert held(tree, "greedy") > CAPACITY - 2 * PAGE, "it is alone"
    tree = begin("lru", fair=True, share=share)
    for number in range(12):
        ask(tree, POLITE[number % 3], number, ((f"talk{number}", PAGE),))
    for number in range(40):
        ask(tree, "greedy", number, ((f"page{number}", PAGE),))
        assert held(tree, "greedy") <= share * CAPACITY + 2 * PAGE
    assert held(tree, "greedy") > share * CAPACITY - PAGE
    assert sum(held(tree, agent) for agent in POLITE) > (1 - share) * CAPACITY - 2 * PAGE


def test_it_is_about_what_one_agent_has_alone() -> None:
    policy, resident = Fairness(), ResidentTokens()
    policy.reckon(resident)
    resident.observe(ev.NodeAdded(t_ns=1, node=1, parent=0, tokens=600, agent="a", rid="r", session="s", start=0))
    mine, shared = Subject("private", ("a",)), Subject("shared", ("a", "b"))
    assert policy.score(mine, 0.0).key == 0.0, "nobody knows how large the cache is"
    pool = {"used_tokens": 0, "evictable_tokens": 0, "capacity_tokens": 1_000}
    policy.observe(ev.EngineLoadSampled(t_ns=2, running=0, waiting=0, **pool))
    assert policy.score(mine, 0.0).parts == {"over_its_share": GOES_FIRST}
    assert policy.scores([mine, shared], 0.0) == [GOES_FIRST, 0.0]
    assert policy.scores([shared, Subject("private", ("b",))], 0.0) == []
    policy.tunables.set("cache_share", 0.7)
    assert policy.scores([mine], 0.0) == []


def test_a_pin_of_the_operators_holds_and_a_fresh_engine_counts_anew() -> None:
    tree = begin("lru", fair=True)
    ask(tree, "greedy", 0, (("pinned", PAGE),))
    tree.say(ev.ActionTaken(t_ns=2, id="x", kind="pin", agent="greedy"))
    for number in range(1, 30):
        ask(tree, "greedy", number, ((f"page{number}", PAGE),))
    assert tree.host.score(Subject("anchor", ("greedy",)), tree.now_s).key > 1e8
    tree.say(ev.EngineStarted(t_ns=3, pid=1, model="m", capacity_tokens=CAPACITY, page_size=1, policy="lru"))
    assert tree.host.score(Subject("private", ("greedy",)), tree.now_s).key == 0.0
