"""When a session reaches each agent, by its likely next moves one by one."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from random import Random

import numpy as np
import pytest

from radixdeck.policies.reuse.model import ReuseModel
from radixdeck.policies.reuse.reaching import LIKELY, Going, going, reach
from radixdeck.policies.reuse.standing import Session
from radixdeck.policies.reuse.tables import Tables
from radixdeck.policies.reuse.transitions import ANSWER, TOOL, Floats

TEAMS = (("ask", "search", "ask", "end"), ("plan", "search", "plan", "end"))


def served(model: ReuseModel, *, sessions: int = 60, says_next: bool = False) -> float:
    """Two kinds of sessions that have an agent in common, one session after the other. Returns when they are over."""
    rng, now_s = Random(7), 0.0
    for number in range(sessions):
        agents = rng.choice(TEAMS)
        for agent, after in zip(agents, (*agents[1:], ""), strict=True):
            model.dispatched(f"s{number}", agent, 500, now_s)
            model.responded(f"s{number}", now_s + 0.2)
            if says_next and after:
                model.hinted(f"s{number}", after)
            now_s += 1.0
        model.ended(f"s{number}", told=True, now_s=now_s)
    return now_s


def begun(model: ReuseModel, agent: str, now_s: float, says_next: str = "") -> dict[str, float]:
    """A session begins with the agent, and says who is next. Returns the discount until it is at each one."""
    model.dispatched("new", agent, 500, now_s)
    model.responded("new", now_s + 0.2)
    if says_next:
        model.hinted("new", says_next)
    model.settle()
    row = model.standing.reach[model.standing.by_name["new"].place]
    return {name: float(row[slot]) for name, slot in model.agents.items() if slot < len(row)}


@pytest.mark.parametrize(("first", "other"), [("ask", "plan"), ("plan", "ask")])
def test_whoever_was_asked_answers_the_one_who_asked(first: str, other: str):
    """By the agent that both go to alone, it is as likely to go on to either."""
    now_s = served(model := ReuseModel())
    row = begun(model, first, now_s)
    assert row["search"] > row[first] > 2.5 * row[other]


def test_a_session_is_followed_to_an_agent_that_it_said_is_next():
    now_s = served(model := ReuseModel(), says_next=True)
    usual, said = begun(model, "ask", now_s), begun(model, "ask", now_s + 1.0, says_next="search")
    assert said["search"] > 0.95
    assert said["ask"] > 2.5 * said["plan"]
    assert said["end"] < said["ask"]
    assert usual["plan"] == pytest.approx(said["plan"], abs=0.1)


def traffic(seed: int, steps: int = 400) -> Iterator[ReuseModel]:
    """Sessions of which some go back and forth, and some come to an end; now and then somebody says who is next."""
    rng, model, now_s = Random(seed), ReuseModel(), 0.0
    been: dict[str, list[int]] = {}
    for _ in range(steps):
        name = f"s{rng.randrange(9)}"
        agents = been.setdefault(name, [])
        choices = [rng.randrange(8), *([agents[-1], (agents[-1] * 3 + 1) % 8] if agents else [])]
        agent = agents[-2] if len(agents) > 1 and rng.random() < 0.5 else rng.choice(choices)
        agents.append(agent)
        model.dispatched(name, f"agent{agent}", 500, now_s := now_s + rng.random())
        if rng.random() < 0.8:
            model.responded(name, now_s := now_s + 0.3 * rng.random())
            model.finished_with(name, f"agent{agent}", rng.choice((ANSWER, TOOL)))
        if rng.random() < 0.3:
            model.hinted(name, f"agent{rng.randrange(8)}")
        if rng.random() < 0.08:
            model.ended(name, told=rng.random() < 0.5, now_s=now_s)
            del been[name]
        yield model


def standing(model: ReuseModel) -> list[Going]:
    tables = model.tables
    assert tables is not None
    sessions = [one for one in model.standing.by_name.values() if one.agent < tables.agents]
    return [going(tables, one, tables.stood(one), model.hints_right.mean) for one in sessions]


def by_definition(tables: Tables, one: Going, *, followed: bool = True) -> Floats:
    """The next agent at once; any other from there: by what is known of the session there if it likely goes there, by
    the passage of all sessions if not."""
    found = np.zeros(len(one.onward))
    for slot, chance in enumerate(one.onward.tolist()):
        there = copy(one.session)
        there.running = 0
        there.go_on(slot, one.session.since_s)
        if followed and chance > LIKELY * one.goes_on:
            (stood,) = tables.stood_at_fit([there])
            left = (1.0 - tables.end(there, stood)) * float(tables._passages.ran[slot])  # pyright: ignore
            goes_on = Going(there, *tables.onward(there, stood))
            later = left * by_definition(tables, goes_on, followed=False)
        else:
            later = tables.reach(np.eye(len(found), dtype=np.float32)[slot][None])[0].astype(float)
        later[slot] = 1.0
        found += chance * later
    return found


@pytest.mark.parametrize("seed", [3, 4])
def test_discounts_are_those_of_each_way_there_is(monkeypatch: pytest.MonkeyPatch, seed: int):
    def only_seen(tables: Tables, session: Session, _onward: Floats, _rest: Floats, goes_on: float, _: Floats) -> None:
        if any(session is one for one in model.standing.by_name.values()):
            return
        (stood,) = tables.stood_at_fit([session])
        _, of_all = tables.onward(session, stood)
        assert goes_on == pytest.approx(tables.left_of(session, stood) * of_all)

    monkeypatch.setattr(Tables, "reach_back", only_seen)
    compared = 0
    for number, model in enumerate(traffic(seed)):
        if number % 20 == 19 and (tables := model.tables) is not None:
            here = standing(model)
            for one, row in zip(here, reach(tables, here), strict=True):
                assert row == pytest.approx(by_definition(tables, one), abs=1e-5)
                compared += bool((one.onward > LIKELY * one.goes_on).sum() > 1)
    assert compared > 5, "of sessions that are followed to more than one agent"


def test_what_is_followed_is_left_out_of_what_is_not():
    """Moves to some agents apart from all others are together all moves. And if what a session does that stays where it
    is is apart, what is left is that of one that does not stay."""
    halves = np.arange(8) % 2 == 0
    for number, model in enumerate(traffic(5)):
        if number % 20 != 19 or (tables := model.tables) is None:
            continue
        for one in standing(model):
            agent, moves = one.session.agent, one.onward.copy()
            moves[agent] = 0.0
            apart = moves * halves[: len(moves)]
            beside = one._replace(onward=apart, goes_on=float(apart.sum()))
            parts = passed_on(tables, one, one.onward - apart) + passed_on(tables, beside, apart)
            assert parts == pytest.approx(passed_on(tables, one, one.onward), abs=1e-5)
            leaves = one._replace(onward=moves, goes_on=one.goes_on - float(one.onward[agent]))
            assert passed_on(tables, one, moves) == pytest.approx(passed_on(tables, leaves, moves), abs=1e-5)


def passed_on(tables: Tables, one: Going, rest: Floats) -> Floats:
    (found,) = tables.reach(rest[None])
    tables.reach_back(one.session, one.onward, rest, one.goes_on, found)
    return found


def test_discounts_are_shares():
    for model in traffic(7):
        model.settle()
        reached = model.standing.reach
        assert np.isfinite(reached).all()
        assert float(reached.min()) >= -1e-3
        assert float(reached.max()) <= 1.0 + 1e-3


def test_nobody_is_followed_where_nothing_is_predicted():
    now_s = served(model := ReuseModel())
    model.predicts = False
    model.refit()
    row = begun(model, "ask", now_s)
    assert row["ask"] == pytest.approx(row["plan"], rel=0.3)


@pytest.mark.parametrize("most_agents", [8, 5])
def test_moves_are_learned_from_as_if_it_were_at_once(monkeypatch: pytest.MonkeyPatch, most_agents: int):
    """By what was known when sessions moved, however many are learned from together, and whoever takes a slot over."""
    monkeypatch.setattr("radixdeck.policies.reuse.model.MAX_AGENTS", most_agents)
    told: list[list[float]] = []
    for most_noted in (6, 1):
        monkeypatch.setattr("radixdeck.policies.reuse.tables.MOST_NOTED", most_noted)
        told.append([])
        for number, model in enumerate(traffic(6)):
            if number % 20 == 19 and (rates := model.rates(model.turnover.now_s)) is not None:
                told[-1] += rates.by_agent
    assert len(told[0]) > 50
    assert told[0] == pytest.approx(told[1])
