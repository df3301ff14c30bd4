"""Rates of the last seconds, however many requests come. Chances that an agent comes, held against the plain form: over
all agents, step by step."""

from __future__ import annotations

import random
from _collections_abc import dict_values

import pytest

from radixdeck.console.rates import LIVE_SESSION_S, SURVIVAL_STEPS, hit_series, rates, survival, survival_of
from radixdeck.policies.events import PrefixMatched
from radixdeck.policies.residency import AgentStats, RequestView, RunState, fold

NOW_NS = 1_000_000_000_000


def crowd(seed: int, agents: int, followers: int, sessions: int) -> RunState:
    """Agents that follow each other at random; some were never seen, some rows and some counts are empty."""
    told = random.Random(seed)
    names = [f"a{number}" for number in range(agents)]
    rows = {
        name: {to: told.choice((0, 1, 1, 7)) for to in told.sample(names, min(agents, told.randint(0, followers)))}
        for name in names
    }
    requests: dict[str, RequestView] = {}
    for number in range(sessions):
        age_s = told.choice((1.0, LIVE_SESSION_S + 1.0))
        requests[f"r{number}"] = RequestView(
            rid=f"r{number}", agent=names[0], session=f"s{number}", arrived_ns=NOW_NS - int(age_s * 1e9)
        )
    return RunState(
        t_ns=NOW_NS,
        agents={name: AgentStats(agent=name) for name in [*names, "stranger"]},
        transitions=rows,
        requests=requests,
        session_agent={f"s{number}": told.choice(names) for number in range(sessions)},
    )


def plainly(run: RunState) -> dict[str, float]:
    fresh_ns = NOW_NS - int(LIVE_SESSION_S * 1e9)
    live = [at for session, at in run.session_agent.items()
            if any(v.session == session and v.arrived_ns >= fresh_ns for v in run.requests.values())]  # fmt: skip
    found: dict[str, float] = {}
    for wanted in run.agents:
        chances = dict.fromkeys(run.transitions, 0.0)
        for _ in range(SURVIVAL_STEPS):
            chances = {
                agent: sum(n * (1.0 if to == wanted else chances[to]) for to, n in row.items())
                / (sum(row.values()) or 1)
                for agent, row in run.transitions.items()
            }
        absent = 1.0
        for at in live:
            absent *= 1.0 - min(1.0, chances[at])
        found[wanted] = 1.0 - absent
    return found


@pytest.mark.parametrize("seed", range(30))
def test_the_chances_are_those_of_the_plain_form(seed: int) -> None:
    run = crowd(seed, agents=1 + seed % 12, followers=4, sessions=seed % 9)
    plain = plainly(run)
    assert survival(run, NOW_NS) == pytest.approx(plain, abs=1e-12)
    assert {agent: survival_of(run, agent, NOW_NS) for agent in run.agents} == survival(run, NOW_NS)
    assert survival_of(run, "nobody", NOW_NS) == 0.0


class Read(dict[str, int]):
    """An agent's followers, and how often they were read."""

    times = 0

    def values(self) -> dict_values[str, int]:
        Read.times += 1
        return super().values()


def test_of_a_thousand_agents_only_those_are_read_that_can_come_to_the_one() -> None:
    run = RunState(
        agents={f"a{number}": AgentStats(agent=f"a{number}") for number in range(1000)},
        transitions={f"a{number}": Read({f"a{number + 1}": 1}) for number in range(999)},
        session_agent={"s": "a497"},
        requests={"r": RequestView(rid="r", agent="a497", session="s", arrived_ns=NOW_NS)},
    )
    assert survival_of(run, "a500", NOW_NS) == 1.0
    assert Read.times == 1 + 2 + 3


def asked(per_s: int, seconds: int) -> RunState:
    """Requests of ten agents, evenly spread; those of the second half find 900 of their 1,000 tokens."""
    run, number = RunState(), per_s * seconds
    for n in range(number):
        fold(run, PrefixMatched(
            t_ns=NOW_NS - int((number - n) / per_s * 1e9), rid=f"r{n}", agent=f"a{n % 10}", session=f"s{n % 50}",
            prompt_tokens=1000, cached_tokens=900 if n >= number // 2 else 0,
        ))  # fmt: skip
    return run


@pytest.mark.parametrize("per_s", [10, 49, 51, 200])
def test_requests_are_counted_however_many_come(per_s: int) -> None:
    now = rates(asked(per_s, 60), NOW_NS)
    assert now.requests_per_s == pytest.approx(per_s, rel=0.05)
    assert now.hit_rate == pytest.approx(0.9)


@pytest.mark.parametrize("per_s", [2, 100])
def test_the_hit_rate_over_time_reaches_back_however_many_come(per_s: int) -> None:
    hits = hit_series(asked(per_s, 120), NOW_NS, 60, 2.0)
    assert hits[:27] == [0.0] * 27
    assert hits[33:] == [pytest.approx(0.9)] * 27


def test_where_the_requests_that_are_kept_reach_back_they_are_counted_to_the_second() -> None:
    run = asked(10, 60)
    assert rates(run, NOW_NS + 9_000_000_000).requests_per_s == pytest.approx(1.0)
    assert rates(run, NOW_NS + 11_000_000_000) == (None, 0.0, None)


def test_with_more_requests_than_are_kept_the_rates_fade_too() -> None:
    run = asked(100, 60)
    assert 0 < rates(run, NOW_NS + 8_000_000_000).requests_per_s < 60
    assert rates(run, NOW_NS + 16_000_000_000) == (None, 0.0, None)
    assert hit_series(run, NOW_NS + 600_000_000_000, 60, 2.0) == [None] * 60
