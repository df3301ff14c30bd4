"""Fairness: neither of two agents that never stop asking gets far ahead, and a flood does not starve anybody."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from radixdeck.policies.door.counters import Counters
from radixdeck.policies.doorkeeping import Asked, Came, Doorkeeper, Entered, Left, Matched, Ruled, RulesError
from radixdeck.policies.events import EventsDropped
from radixdeck.policies.fairness import Fairness

PLACES = 4
OUTPUT_WEIGHT = 2.0


@dataclass
class Load:
    """A server that runs a few requests at once, `runs`, and has a queue. Each agent is always asking: `waiting`
    requests of it stand at the door. `fair`: who goes next is what the policy says, else who came first; `told`: the
    server says what it has begun, as it begins it; `most`: that were in flight at once."""

    fair: bool
    waiting: dict[str, int]
    sizes: dict[str, tuple[int, int]]
    seed: int = 0
    rules: str = ""
    quantum: float = 0.0
    tunables: dict[str, float] = field(default_factory=lambda: {"places": PLACES})
    runs: int = PLACES
    told: bool = False
    most: int = 0
    served: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    spread: float = 0.0

    def run(self, requests: int) -> Fairness:
        chooser, policy = random.Random(self.seed), Fairness()
        for name, value in {**self.tunables, "quantum": self.quantum}.items():
            policy.tunables.set(name, value)
        policy.obey(self.rules)
        number, now_s = 0, 0.0
        door: list[tuple[Asked, int, int]] = []
        queue: deque[tuple[Asked, int, int]] = deque()
        inside: list[tuple[float, str, Asked, int, int]] = []

        def come(agent: str) -> None:
            nonlocal number
            number += 1
            low, high = self.sizes[agent]
            prompt, output = chooser.randint(low, high), chooser.randint(low, high) // 4
            asked = Asked(rid=f"r{number}", agent=agent, about_tokens=prompt)
            policy.notice(Came(t_s=now_s, asked=asked))
            door.append((asked, prompt, output))

        def begin() -> None:
            while queue and len(inside) < self.runs:
                asked, prompt, output = queue.popleft()
                heapq.heappush(inside, (now_s + (prompt + 5 * output) / 1e3, asked.rid, asked, prompt, output))
                if self.told:
                    policy.notice(Matched(t_s=now_s, asked=asked, prompt_tokens=prompt, cached_tokens=0))

        for agent, count in self.waiting.items():
            for _ in range(count):
                come(agent)
        for _ in range(requests):
            while (verdicts := [policy.admit(asked, now_s) for asked, _, _ in door])[0].kind != "hold":
                place = min(range(len(door)), key=lambda at: verdicts[at].order) if self.fair else 0
                asked, prompt, output = door.pop(place)
                policy.notice(Entered(t_s=now_s, asked=asked))
                queue.append((asked, prompt, output))
                begin()
                self.most = max(self.most, len(queue) + len(inside))
                come(asked.agent)
            now_s, _, asked, prompt, output = heapq.heappop(inside)
            policy.notice(Left(t_s=now_s, asked=asked, entered=True, prompt_tokens=prompt, output_tokens=output))
            begin()
            self.served[asked.agent] += prompt + OUTPUT_WEIGHT * output
            shares = [self.served[agent] for agent in self.waiting]
            self.spread = max(self.spread, max(shares) - min(shares))
        return policy


SIZES = {"small": (50, 100), "large": (500, 2_000), "mixed": (10, 2_000)}
HEAVIEST = 2_000 + OUTPUT_WEIGHT * 500
BOUND = 2 * PLACES * HEAVIEST


@pytest.mark.parametrize(
    "server",
    [
        {"tunables": {"places": PLACES}},
        {"tunables": {"places": PLACES}, "runs": 2, "told": True},
        {"tunables": {"ahead": 2}, "runs": PLACES - 2, "told": True},
        {"tunables": {"ahead": 1}, "runs": PLACES - 1, "told": True},
    ],
    ids=["no word of what is begun", "places", "two ahead", "one ahead"],
)
@pytest.mark.parametrize("seed", range(5))
def test_backlogged_agents_stay_within_the_bound(seed: int, server: dict[str, Any]) -> None:
    load = Load(fair=True, waiting={"small": 30, "large": 3, "mixed": 8}, sizes=SIZES, seed=seed, **server)
    load.run(3_000)
    assert load.most == PLACES
    assert load.spread <= BOUND
    assert min(load.served.values()) > 10 * BOUND


@pytest.mark.parametrize("seed", range(3))
def test_a_quantum_leaves_small_differences_to_others_and_widens_the_bound_by_itself(seed: int) -> None:
    quantum = 20_000.0
    load = Load(fair=True, waiting={"small": 30, "large": 3, "mixed": 8}, sizes=SIZES, seed=seed, quantum=quantum)
    load.run(3_000)
    assert load.spread <= BOUND + quantum
    policy = Fairness()
    policy.tunables.set("quantum", quantum)
    full(policy, asked("r1", "a", tokens=5_000), asked("r2", "b", tokens=19_000), asked("r3", "c", tokens=21_000))
    assert [policy.admit(asked("w", agent), 0.0).order for agent in "abc"] == [(2.0, 0.0), (2.0, 0.0), (2.0, 1.0)]


def test_first_come_first_served_breaks_the_bound() -> None:
    load = Load(fair=False, waiting={"small": 30, "large": 3, "mixed": 8}, sizes=SIZES)
    load.run(3_000)
    assert load.spread > 5 * BOUND


def test_weights_are_shares() -> None:
    sizes = dict.fromkeys(("one", "three"), (100, 200))
    load = Load(fair=True, waiting={"one": 9, "three": 9}, sizes=sizes, rules="[agents]\nthree = 3")
    load.run(3_000)
    assert load.served["three"] / load.served["one"] == pytest.approx(3.0, rel=0.05)


def asked(rid: str, agent: str, tenant: str = "default", tokens: int = 100) -> Asked:
    return Asked(rid=rid, agent=agent, tenant=tenant, about_tokens=tokens)


def full(policy: Fairness, *inside: Asked) -> Fairness:
    for one in inside:
        policy.notice(Came(t_s=0.0, asked=one))
    for one in inside:
        policy.notice(Entered(t_s=0.0, asked=one))
    return policy


def order_of(policy: Fairness, *waiting: Asked) -> str:
    """Ids of those who wait in the order in which they are let in."""
    for one in waiting:
        policy.notice(Came(t_s=0.0, asked=one))
    left, told = list(waiting), ""
    while left:
        first = min(left, key=lambda one: policy.admit(one, 0.0).order)
        policy.notice(Entered(t_s=0.0, asked=first))
        left.remove(first)
        told += first.rid
    return told


def test_it_keeps_the_contract_and_holds_only_beyond_its_places() -> None:
    policy = Fairness()
    assert isinstance(policy, Doorkeeper)
    assert isinstance(policy, Ruled)
    policy.tunables.set("places", 2)
    full(policy, asked("r1", "a"))
    assert policy.admit(asked("r2", "a"), 0.0).kind == "pass"
    full(policy, asked("r2", "a"))
    verdict = policy.admit(asked("r3", "b"), 0.0)
    assert (verdict.kind, verdict.why) == ("hold", "2 requests are in flight; who was served least goes first")


def test_whoever_runs_counts_not_but_who_the_engine_has_yet_to_begin() -> None:
    policy = Fairness()
    policy.tunables.set("ahead", 2)
    running = [asked(f"r{n}", "greedy") for n in range(12)]
    full(policy, *running)
    for one in running:
        policy.notice(Matched(t_s=1.0, asked=one, prompt_tokens=100, cached_tokens=0))
    assert policy.admit(asked("m", "modest"), 1.0).kind == "pass"
    full(policy, asked("w1", "greedy"), asked("w2", "greedy"))
    verdict = policy.admit(asked("m", "modest"), 1.0)
    assert (verdict.kind, verdict.everybody) == ("hold", True)
    assert verdict.why == "the engine has yet to begin 2 requests; who was served least goes first"
    policy.observe(EventsDropped(t_ns=0, count=1))
    assert policy.admit(asked("m", "modest"), 1.0).kind == "pass"


def test_a_flood_goes_before_a_newcomer_once_at_most() -> None:
    policy = full(Fairness(), *[asked(f"r{n}", "greedy") for n in range(20)])
    assert order_of(policy, *[asked(rid, "greedy") for rid in "ghij"], asked("m", "modest")) == "gmhij"


def test_tenants_share_before_agents_do() -> None:
    """Many names do not make a tenant's share larger."""
    many = [asked(chr(ord("a") + n), f"acme/{n}", "acme") for n in range(6)]
    assert order_of(Fairness(), *many, *[asked(rid, "zed/x", "zed") for rid in "XYZ"]) == "aXbYcZdef"


def test_who_was_away_does_not_come_back_with_savings() -> None:
    policy = Fairness()
    for number in range(10):
        one = asked(f"r{number}", "steady")
        full(policy, one)
        policy.notice(Came(t_s=0.0, asked=asked(f"w{number}", "steady")))  # so that it is always at work
        policy.notice(Left(t_s=1.0, asked=one, entered=True, prompt_tokens=100, output_tokens=50))
    policy.notice(Came(t_s=2.0, asked=asked("late", "late")))
    counters = policy.agents.get("default")
    assert counters is not None
    assert counters["late"] == counters["steady"] == 10 * 200


def test_who_comes_while_nobody_is_at_work_starts_where_the_last_one_left_off() -> None:
    """Whoever comes back to an idle engine would else let newcomers by, by all that it was ever served."""
    counters = Counters()
    counters.came("old")
    counters.charge("old", 500.0)
    counters.left("old")
    counters.came("new")
    counters.came("old")
    assert counters["new"] == counters["old"] == 500.0


def test_one_that_came_before_it_was_on_is_not_taken_for_another_that_leaves() -> None:
    policy = full(Fairness(), asked("seen", "a"))
    policy.notice(Left(t_s=0.0, asked=asked("unseen", "a"), entered=True, output_tokens=50))
    policy.notice(Matched(t_s=1.0, asked=asked("seen", "a"), prompt_tokens=900, cached_tokens=0))
    policy.notice(Came(t_s=2.0, asked=asked("late", "zed/z", "zed")))
    assert policy.tenants["zed"] == policy.tenants["default"] == 2 * 50 + 900


def test_what_was_cached_costs_a_tenth_whenever_the_engine_says_so() -> None:
    early, late = asked("r1", "early", tokens=1_000), asked("r2", "late", tokens=1_000)
    policy = full(Fairness(), early, late)
    counters = policy.agents.get("default")
    assert counters is not None
    cached = {"prompt_tokens": 900, "cached_tokens": 800}
    policy.notice(Matched(t_s=1.0, asked=early, **cached))
    for one in (early, late):
        policy.notice(Left(t_s=2.0, asked=one, entered=True, prompt_tokens=900, output_tokens=10))
    policy.notice(Matched(t_s=3.0, asked=late, **cached))
    policy.notice(Matched(t_s=3.0, asked=late, **cached))
    assert counters["early"] == counters["late"] == 100 + 80 + 20


def test_what_it_never_saw_come_does_no_harm() -> None:
    policy = Fairness()
    policy.notice(Left(t_s=0.0, asked=asked("r1", "a"), entered=True, output_tokens=5))
    policy.notice(Matched(t_s=0.0, asked=asked("r2", "a"), prompt_tokens=5, cached_tokens=0))
    assert policy.admit(asked("r3", "a"), 0.0).kind == "pass"


def test_counters_are_bounded_and_forget_nobody_at_work() -> None:
    counters = Counters(max_known=10)
    counters.came("steady")
    for number in range(100):
        counters.came(f"n{number}")
        counters.left(f"n{number}")
    counters.charge("steady", 5.0)
    assert len(counters._served) == 10
    assert counters["steady"] == 5.0


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("[agents]\na = 1\nb = 0", r"line 3: agents\.b: 0 is no weight, a number from 0\.01 to 100"),
        ("[agents]\n'a b' = true", r"line 2: agents\.a b: True is no weight"),
        ("[agent]\na = 1", r"line 1: agent: known are"),
        ("tenants = 2", r"line 1: tenants: known are"),
        ("[agents", "not valid TOML"),
    ],
)
def test_weights_that_cannot_be_used_are_answered_with_key_and_line(rules: str, words: str) -> None:
    with pytest.raises(RulesError, match=words):
        Fairness().obey(rules)
