"""Belady's bound against an exhaustive search, against LRU, and in the corners."""

from __future__ import annotations

import functools
import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_samples import Numbering

from radixdeck.policies.primitives import Score, Subject
from radixdeck.policies.tree.queues import Ask
from radixdeck.policies.tree.victims import Choice, VictimIndex
from radixdeck.storage.bound import Request, Uses, belady_bound, hits_of, lru_hits
from radixdeck.storage.demand import steps_of
from radixdeck.storage.lru import LeastRecent
from radixdeck.storage.model_cache import ModelCache

Prompt = tuple[str, str]
"""Prompt and output, one letter per token."""


def serial(*prompts: Prompt) -> list[Request]:
    """Requests that run one after the other."""
    number = Numbering()
    return [
        Request(f"r{i}", number.hashes(prompt + output), len(prompt), 3 * i, 3 * i + 1, 3 * i + 2)
        for i, (prompt, output) in enumerate(prompts)
    ]


def overlapping(prompts: list[Prompt], order: list[int]) -> list[Request]:
    """Requests whose steps are shuffled together: `order` names, step by step, whose next step it is."""
    number, moments = Numbering(), [[] for _ in prompts]
    for moment, index in enumerate(order):
        moments[index].append(moment)
    return [
        Request(f"r{i}", number.hashes(prompt + output), len(prompt), *moments[i])
        for i, (prompt, output) in enumerate(prompts)
    ]


def best_by_search(requests: list[Request], capacity: int) -> int:
    """Most hits over every choice of what to keep after every step, token by token, prefixes before what extends them.

    Kept sets are of prefixes (tuples of hashes); a request that is running holds its prompt.
    """
    steps = [(step, requests[index]) for step, index in steps_of(requests)]
    prefixes = {r.rid: [int(h) for h in r.hashes] for r in requests}
    above: dict[int, int | None] = {}
    for sequence in prefixes.values():
        for upper, lower in zip([None, *sequence], sequence, strict=False):
            above[lower] = upper

    def keepable(tree: frozenset[int], held: frozenset[int]) -> list[frozenset[int]]:
        idle, room = sorted(tree - held), max(0, capacity - len(held))
        sets = [frozenset(c) for n in range(min(room, len(idle)), -1, -1) for c in combinations(idle, n)]
        return [held & tree | s for s in sets if all(above[x] is None or above[x] in s | held for x in s)]

    @functools.cache
    def best(place: int, tree: frozenset[int]) -> int:
        if place == len(steps):
            return 0
        step, request = steps[place]
        sequence = prefixes[request.rid]
        running = [r for r in requests if r.start <= request.start < r.finish] if step == "start" else []
        if step == "start":
            matchable = sequence[: max(0, request.prompt_tokens - 1)]
            hit = next((n for n, token in enumerate(matchable) if token not in tree), len(matchable))
            held = frozenset(t for r in running for t in prefixes[r.rid][: r.prompt_tokens])
            return hit + max(best(place + 1, kept) for kept in keepable(tree, held))
        if step == "prefilled":
            return best(place + 1, tree | frozenset(sequence[: request.prompt_tokens]))
        others = [r for r in requests if r.start < request.finish < r.finish]
        held = frozenset(t for r in others for t in prefixes[r.rid][: r.prompt_tokens]) | frozenset(sequence)
        return max(best(place + 1, kept) for kept in keepable(tree | frozenset(sequence), held))

    return best(0, frozenset())


letters = st.text("ab", min_size=1, max_size=4)
prompts = st.lists(st.tuples(letters, st.text("ab", max_size=1)), min_size=2, max_size=5)


def ends_apart(requests: list[Request]) -> bool:
    """Whether no prompt's last token, and no output, lies inside or under what another request put there."""
    tails = [set(map(int, r.hashes[max(0, r.prompt_tokens - 1) :])) for r in requests]
    wholes = [set(map(int, r.hashes)) for r in requests]
    return not any(tails[i] & wholes[j] for i in range(len(requests)) for j in range(len(requests)) if i != j)


@settings(max_examples=300, deadline=None)
@given(prompts, st.integers(0, 9))
def test_equals_exhaustive_search(drawn: list[Prompt], capacity: int) -> None:
    requests = serial(*[(f"{prompt}{i}", output) for i, (prompt, output) in enumerate(drawn)])
    assert ends_apart(requests)
    assert belady_bound(requests, capacity).hit_tokens == best_by_search(requests, capacity)


@settings(max_examples=300, deadline=None)
@given(prompts, st.integers(0, 9))
def test_never_below_exhaustive_search_when_prompts_repeat(drawn: list[Prompt], capacity: int) -> None:
    requests = serial(*drawn)
    assert belady_bound(requests, capacity).hit_tokens >= best_by_search(requests, capacity)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(letters, st.text("ab", max_size=1)), min_size=2, max_size=4), st.integers(0, 9), st.data())
def test_overlapping_requests(drawn: list[Prompt], capacity: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations([i for i in range(len(drawn)) for _ in range(3)]))
    requests = overlapping([(f"{prompt}{i}", output) for i, (prompt, output) in enumerate(drawn)], order)
    bound, best = belady_bound(requests, capacity), best_by_search(requests, capacity)
    assert best == bound.hit_tokens


@settings(max_examples=300, deadline=None)
@given(prompts, st.integers(0, 12), st.data())
def test_lru_never_beats_the_bound(drawn: list[Prompt], capacity: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations([i for i in range(len(drawn)) for _ in range(3)]))
    requests = overlapping(drawn, order)
    lru, bound = lru_hits(requests, capacity), belady_bound(requests, capacity)
    assert lru.hit_tokens <= bound.hit_tokens <= bound.reused_tokens
    assert lru.prompt_tokens == bound.prompt_tokens == sum(len(prompt) for prompt, _ in drawn)


@settings(max_examples=400, deadline=None)
@given(prompts, st.integers(0, 12), st.integers(1, 3), st.data())
def test_no_order_of_eviction_beats_the_bound_of_prompts_prefilled_in_chunks(
    drawn: list[Prompt], capacity: int, chunk_tokens: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations([i for i in range(len(drawn)) for _ in range(3)]))
    requests = overlapping(drawn, order)
    bound = belady_bound(requests, capacity, chunk_tokens=chunk_tokens)
    for watcher in (LeastRecent(), AnyOrder(data.draw(st.integers(0, 99)))):
        hits = sum(hits_of(ModelCache(watcher, capacity, chunk_tokens=chunk_tokens), requests))
        assert hits <= bound.hit_tokens <= bound.reused_tokens


class AnyOrder(LeastRecent):
    """Evicts by chance, and of a leaf only as much as is needed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._index = VictimIndex(lambda node: Subject("private", session=str(node)))
        self._chance = random.Random(seed)

    def kept(self, tokens: int, needed_tokens: int, page_size: int) -> int:
        return max(0, tokens - needed_tokens)

    def choose(self) -> Choice | None:
        return self._index.choose(Ask(lambda _: Score(self._chance.random())))


def test_a_long_prompt_leaves_room_until_its_chunks_take_it() -> None:
    """While the eight tokens of x are prefilled two at a time, abc is still there for who asks for it."""
    number = Numbering()
    requests = [
        Request("first", number.hashes("abc"), 3, 0, 1, 2),
        Request("long", number.hashes("xxxxxxxx"), 8, 3, 7, 8),
        Request("again", number.hashes("abc"), 3, 4, 5, 6),
    ]
    for chunk_tokens, hits in ((3, 2), (8, 0)):
        assert belady_bound(requests, 8, chunk_tokens=chunk_tokens).hit_tokens == hits
        assert lru_hits(requests, 8, chunk_tokens=chunk_tokens).hit_tokens == hits
    for chunk_tokens in (5, 6, 7):  # the first chunk takes its room at once
        assert belady_bound(requests, 8, chunk_tokens=chunk_tokens).hit_tokens == min(2, 8 - chunk_tokens)
    assert belady_bound(requests, 7, chunk_tokens=6).hit_tokens == 1


def test_a_long_prompt_holds_nothing_that_another_one_only_computes_again() -> None:
    """B finds what C left in the tree, and what A, which computes the same, has not put there yet."""
    prompts = {"C": "a", "A": "a", "D": "dd", "B": "ab", "F": "x", "G": "g", "H": "g", "I": "xx", "J": "xx"}
    order = [list(prompts).index(name) for name in "CACCDDDBAAFFFGGGIIIHHHJJJBB"]
    requests = overlapping([(prompt, "") for prompt in prompts.values()], order)
    assert lru_hits(requests, 3, chunk_tokens=1).hit_tokens == 2
    assert belady_bound(requests, 3, chunk_tokens=1).hit_tokens >= 2


def test_a_prompt_takes_its_room_until_its_last_chunk() -> None:
    number = Numbering()
    first, again = (Request(rid, number.hashes("abc"), 3, *at) for rid, at in (("a", (0, 1, 2)), ("b", (5, 6, 7))))
    long = Request("long", number.hashes("xxxxxxxx"), 8, 3, 4, 9, last_chunk=8)
    assert belady_bound([first, long, again], 9, chunk_tokens=3).hit_tokens == 2
    assert belady_bound([first, replace(long, last_chunk=0), again], 9, chunk_tokens=3).hit_tokens == 1


@given(prompts, st.sampled_from([1, 2, 3]))
def test_with_room_for_everything_all_reuse_hits(drawn: list[Prompt], page_size: int) -> None:
    requests = serial(*drawn)
    bound, lru = belady_bound(requests, 1000, page_size), lru_hits(requests, 1000, page_size)
    assert bound.hit_tokens == bound.reused_tokens == lru.hit_tokens


@given(prompts, st.sampled_from([1, 2]))
def test_the_working_set_is_the_least_room_in_which_nothing_is_lost(drawn: list[Prompt], page_size: int) -> None:
    uses = Uses(serial(*drawn), page_size)
    enough, held = uses.working_set_tokens(), max(uses.held) * page_size
    assert uses.bound(enough).hit_tokens == uses.bound(10**6).hit_tokens
    assert enough == held or uses.bound(enough - page_size).hit_tokens < uses.bound(enough).hit_tokens
    assert Uses([], page_size).working_set_tokens() == 0


def test_a_walk_gives_the_bound_at_any_capacity_again_and_again() -> None:
    requests = serial(("aaaax", ""), ("bbbby", ""), ("aaaaz", ""), ("bbbbw", ""), ("aaaav", ""))
    uses = Uses(requests, 1)
    for capacity in (8, 9, 8, 100, 0):
        assert uses.bound(capacity) == belady_bound(requests, capacity)
    with pytest.raises(ValueError, match="capacity -1 tokens"):
        uses.bound(-1)


def test_two_agents_in_turn_with_room_for_one() -> None:
    """LRU drops each anchor, tail and all, just before it is wanted; the best drops only the tail."""
    requests = serial(("aaaax", ""), ("bbbby", ""), ("aaaaz", ""), ("bbbbw", ""), ("aaaav", ""))
    assert lru_hits(requests, 5 + 5 + 1).hit_tokens == 4 + 4 + 4
    assert lru_hits(requests, 5 + 4).hit_tokens == 0
    assert belady_bound(requests, 5 + 4).hit_tokens == 4 + 4 + 4
    assert belady_bound(requests, 5 + 3).hit_tokens == 3 + 3 + 3


def test_last_prompt_token_is_never_served() -> None:
    assert belady_bound(serial(("abc", ""), ("abc", "")), 100).hit_tokens == 2
    assert lru_hits(serial(("abc", ""), ("abc", "")), 100).by_request == (0, 2)


def test_only_whole_pages_are_served() -> None:
    requests = serial(("abcdefgh", ""), ("abcdefxy", ""))
    assert belady_bound(requests, 100, page_size=4).hit_tokens == 4
    assert lru_hits(requests, 100, page_size=4).hit_tokens == 4


def test_output_is_there_for_the_next_turn() -> None:
    requests = serial(("ab", "cd"), ("abcde", ""))
    assert belady_bound(requests, 100).hit_tokens == 4


def test_nothing_asked_nothing_served() -> None:
    assert belady_bound([], 10).hit_rate == 0.0
    assert lru_hits([], 10).hit_rate == 0.0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="pages of 0"):
        belady_bound([], 10, page_size=0)
    short = Request("r", np.zeros(1, np.uint32), 5, 0, 1, 2)
    with pytest.raises(ValueError, match="'r': 1 hashes for 5 tokens"):
        belady_bound([short], 10)


def test_many_long_prompts() -> None:
    """Two thousand prompts of two thousand tokens are walked as segments; the sums agree with a token-wise count."""
    chooser, number = random.Random(7), Numbering()
    anchors = [[f"{a}.{i}" for i in range(800)] for a in range(12)]
    requests: list[Request] = []
    for i in range(2000):
        tail = [f"{i}:{j}" for j in range(1200)]
        hashes = number.hashes([*anchors[chooser.randrange(12)], *tail])
        requests.append(Request(f"r{i}", hashes, len(hashes), 3 * i, 3 * i + 1, 3 * i + 2))
    assert belady_bound(requests, 10**9).hit_tokens == (2000 - 12) * 800
    tight, lru = belady_bound(requests, 6000), lru_hits(requests, 6000)
    assert lru.hit_tokens < tight.hit_tokens < (2000 - 12) * 800


def test_prefix_still_being_prefilled() -> None:
    """A prefix that another request is still prefilling is a hit where it was kept until that one began."""
    order = [0, 0, 0, 3, 3, 3, 1, 2, 1, 1, 2, 2]
    requests = overlapping([("abx", ""), ("aby", ""), ("abz", ""), ("qqqq", "")], order)
    assert [belady_bound(requests, capacity).hit_tokens for capacity in (6, 5, 4)] == [4, 2, 0]
    cold = overlapping([("aby", ""), ("abz", "")], [0, 1, 0, 0, 1, 1])
    assert belady_bound(cold, 100).hit_tokens == 0


def test_a_prefix_that_two_will_find_is_worth_more_than_one_that_is_wanted_sooner() -> None:
    order = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 4, 4, 5, 5]
    prompts = ("aax", "bu", "qqq", "bv", "aay", "aaz")
    requests = overlapping([(prompt, "") for prompt in prompts], order)
    assert belady_bound(requests, 5).hit_tokens == best_by_search(requests, 5) == 4
