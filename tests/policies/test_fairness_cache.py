"""Fairness in the cache: a flood takes its own pages and leaves the others what they have."""

from __future__ import annotations

import msgspec
import pytest
from tree_model import Prompt, TreeModel

from radixdeck.policies import events as ev
from radixdeck.policies.door.cache_shares import GOES_FIRST, TURNOVERS
from radixdeck.policies.fairness import Fairness
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import Subject
from radixdeck.policies.resident import ResidentTokens
from radixdeck.policies.tree.ownership import Who

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


LOOP = tuple(((f"step{number}", PAGE),) for number in range(10))


def hits_in_a_loop(tree: TreeModel, *, ended: bool, rounds: int = 20) -> list[int]:
    """Cached tokens of each round of an agent that repeats 7,000 tokens, where two others filled the cache before."""
    for agent in ("gone1", "gone2"):
        for number in range(6):
            ask(tree, agent, number, ((f"{agent}/{number}", PAGE),))
        if ended:
            tree.end_session(f"{agent}-session")
    for number, step in enumerate(LOOP):
        ask(tree, "active", number, step)
    return [sum(ask(tree, "active", number, step) for number, step in enumerate(LOOP)) for _ in range(rounds)]


@pytest.mark.parametrize("order", ["lru", "kv_caching"])
def test_who_is_alone_at_work_has_the_whole_cache(order: str) -> None:
    """What those left behind who are gone is not kept from it."""
    fair, plain = begin(order, fair=True), begin(order, fair=False)
    hits = hits_in_a_loop(fair, ended=True, rounds=5)
    assert hits == hits_in_a_loop(plain, ended=True, rounds=5)
    assert fair.events == plain.events, "bit for bit"
    if order == "lru":
        assert hits == [7_000] * 5
        assert held(fair, "gone1") == 0


def test_who_went_without_a_word_is_gone_after_a_few_turnovers() -> None:
    """LRU's choice comes back then; before, only as much is kept as those have who may come back."""
    tree = begin("lru", fair=True)
    hits = hits_in_a_loop(tree, ended=False, rounds=10)
    assert hits[-1] == 7_000
    assert sum(7_000 - found for found in hits) <= TURNOVERS * CAPACITY


def flood(tree: TreeModel, *names: str, same: bool = False) -> int:
    """What three agents find of theirs after 40 pages, asked under these names in turn, or each of them under all."""
    own: dict[str, Prompt] = {agent: ((f"{agent}/talk", 1_000),) for agent in POLITE}
    for agent in POLITE:
        ask(tree, agent, 0, own[agent])
    for number in range(40):
        for name in names if same else [names[number % len(names)]]:
            ask(tree, name, number, ((f"page{number}", PAGE),))
    return sum(ask(tree, agent, 1, own[agent]) for agent in POLITE)


@pytest.mark.parametrize("names", [("acme/a", "acme/b"), ("acme/a", "acme/b", "acme/c", "acme/d"), ("",)])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("order", ["lru", "kv_caching"])
def test_many_names_of_a_tenant_and_no_name_at_all_are_one(names: tuple[str, ...], same: bool, order: str) -> None:
    assert flood(begin("lru", fair=False), *names, same=same) == 0
    assert flood(begin(order, fair=True), *names, same=same) == 3_000


def test_pages_that_two_agents_share_count_for_both_and_names_that_nobody_proves_are_two() -> None:
    assert flood(begin("lru", fair=True), "a", "b", same=True) == 3_000
    assert flood(begin("lru", fair=True), "a", "b") == 0, "as the docs say: tenants' keys prove anything, names nothing"


def test_what_a_tenant_has_goes_first_and_of_that_what_its_greedy_agent_has() -> None:
    tree = begin("lru", fair=True)
    ask(tree, "acme/modest", 0, (("modest", 1_000),))
    ask(tree, "zed/other", 0, (("other", 1_000),))
    for number in range(40):
        ask(tree, "acme/greedy", number, ((f"page{number}", PAGE),))
        assert held(tree, "acme/modest") == held(tree, "zed/other") == 1_010
    tree = begin("lru", fair=True)
    ask(tree, "zed/other", 0, (("other", 1_000),))
    for number in range(50):
        ask(tree, f"acme/{number % 8}", number, ((f"page{number}", PAGE),))
    assert held(tree, "zed/other") == 1_010


def told(policy: Fairness, resident: ResidentTokens, *events: ev.EngineEvent) -> None:
    for event in events:
        resident.observe(event)
        policy.observe(event)


def asked(agent: str, session: str = "", computed: int = 0) -> ev.PrefixMatched:
    return ev.PrefixMatched(
        t_ns=1, rid=f"r-{agent}", agent=agent, session=session, prompt_tokens=computed, cached_tokens=0
    )


def added(node: int, agent: str, tokens: int) -> ev.NodeAdded:
    return ev.NodeAdded(t_ns=1, node=node, parent=0, tokens=tokens, agent=agent, rid="r", session="s", start=0)


SAMPLE = ev.EngineLoadSampled(t_ns=2, running=0, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=1_000)


def test_it_is_about_what_is_kept_for_others_at_work() -> None:
    policy, resident = Fairness(), ResidentTokens()
    policy.reckon(resident)
    mine, dead = Subject("private", ("a",), "s1"), Subject("private", ("b",))
    other, shared, anybody = Subject("private", ("b",), "s2"), Subject("shared", ("a", "b")), Subject("shared", ("*",))
    every = [mine, dead, other, shared, anybody, Subject("private", ("c",), "s3"), Subject("unowned")]
    told(policy, resident, added(1, "a", 600), added(2, "b", 100), asked("a", "s1"), asked("b", "s2"))
    assert policy.scores(every, 0.0) == [], "nobody knows how large the cache is"
    assert policy.worthless(dead)
    told(policy, resident, SAMPLE)
    low = 2 * GOES_FIRST
    assert policy.scores(every, 0.0) == [low, low, 0.0, 0.0, 0.0, low, low]
    assert [policy.score(one, 0.0).key for one in every] == policy.scores(every, 0.0)
    assert not policy.worthless(dead)
    reasons = [*policy.score(mine, 0.0).parts, *policy.score(dead, 0.0).parts, *policy.score(every[5], 0.0).parts]
    assert reasons == ["over_its_share", "session_over", "not_at_work"]
    policy.tunables.set("cache_share", 0.7)
    assert policy.scores(every, 0.0) == [], "nobody is over"
    policy.tunables.set("cache_share", 0.5)
    told(policy, resident, ev.SessionEnded(t_ns=3, session="s2"))
    assert policy.scores(every, 0.0) == [], "nobody else is at work"
    told(policy, resident, asked("b", "s2"))
    assert policy.scores(every, 0.0)
    told(policy, resident, asked("a", "s1", computed=TURNOVERS * 1_000 + 1))
    assert policy.scores(every, 0.0) == [], "nor is who was not asked for long"
    told(policy, resident, asked("b", "s2"), ev.NodeEvicted(t_ns=4, node=2, tokens=100, start=0))
    assert policy.scores(every, 0.0) == [], "nor is there anything to keep of whom nothing is there"


def test_nobody_is_at_work_by_what_was_only_warmed_for_it() -> None:
    policy, resident = Fairness(), ResidentTokens()
    policy.reckon(resident)
    told(policy, resident, SAMPLE, added(1, "a", 600), added(2, "b", 100), asked("a", "s1"))
    told(policy, resident, msgspec.structs.replace(asked("b"), warm=True))
    assert policy.scores([Subject("private", ("a",), "s1")], 0.0) == []


def test_a_tenant_that_is_alone_at_work_has_the_whole_cache() -> None:
    policy, resident = Fairness(), ResidentTokens()
    policy.reckon(resident)
    told(policy, resident, SAMPLE, added(1, "acme/a", 300), added(2, "acme/b", 300), added(3, "zed/c", 100))
    told(policy, resident, asked("acme/a", "s1"), asked("acme/b", "s2"))
    every = [Subject("private", (f"acme/{name}",), session) for name, session in (("a", "s1"), ("b", "s2"))]
    assert policy.scores(every, 0.0) == []
    told(policy, resident, asked("zed/c", "s3"))
    assert policy.scores(every, 0.0) == [GOES_FIRST] * 2


def test_who_is_over_is_worked_out_once_for_all_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    above = ResidentTokens.agents_above

    def counted(self: ResidentTokens, tokens: float) -> frozenset[str]:
        nonlocal looks
        looks += 1
        return above(self, tokens)

    monkeypatch.setattr(ResidentTokens, "agents_above", counted)
    policy, resident = Fairness(), ResidentTokens()
    policy.reckon(resident)
    told(policy, resident, SAMPLE, asked("b"), *(added(number, f"a{number}", 10) for number in range(50)))
    subjects = [Subject("private", (f"a{number % 50}",), f"s{number}") for number in range(10_000)]
    assert policy.scores(subjects, 0.0) == []
    assert looks == 1
    told(policy, resident, added(99, "a1", 900), asked("a2"))
    assert policy.scores(subjects, 0.0).count(2 * GOES_FIRST) == 10_000 - 200
    assert looks == 2


def test_a_pin_of_the_operators_holds_and_a_fresh_engine_counts_anew() -> None:
    tree = begin("lru", fair=True)
    ask(tree, "greedy", 0, (("pinned", PAGE),))
    tree.say(ev.ActionTaken(t_ns=2, id="x", kind="pin", agent="greedy"))
    for number in range(1, 30):
        ask(tree, "greedy", number, ((f"page{number}", PAGE),))
    assert tree.host.score(Subject("anchor", ("greedy",)), tree.now_s).key > 1e8
    tree.say(ev.EngineStarted(t_ns=3, pid=1, model="m", capacity_tokens=CAPACITY, page_size=1, policy="lru"))
    assert tree.host.score(Subject("private", ("greedy",)), tree.now_s).key == 0.0
