"""What kv_caching answers does not depend on whether, or how often, it was asked before: a twin that is never asked
agrees with the engine that asks all the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import msgspec
import pytest
from traffic import Shape, run, with_contents

from radixdeck.policies.events import (
    AnswerGiven,
    EngineEvent,
    NextAgentHinted,
    NodeAdded,
    PrefixInserted,
    PrefixMatched,
    TunableChanged,
)
from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.primitives import Subject
from radixdeck.policies.tree.subjects import subject_of


def events_of(shape: Shape) -> list[EngineEvent]:
    return list(with_hints(with_contents(run(shape, "lru", 16_300).tree.events)))


def with_hints(events: Iterator[EngineEvent]) -> Iterator[EngineEvent]:
    """Now and then somebody says what comes next, rightly or not, or changes a tunable; some answers say that they are
    the last, rightly or not."""
    rng = Random(3)
    for event in events:
        closes = isinstance(event, AnswerGiven) and rng.random() < 0.3
        yield msgspec.structs.replace(event, closes=True) if closes else event
        if isinstance(event, PrefixMatched) and rng.random() < 0.2:
            agent = f"agent{rng.randrange(6)}"
            yield NextAgentHinted(t_ns=event.t_ns, session=event.session, agent=agent, rid=event.rid)
        if isinstance(event, PrefixMatched) and rng.random() < 0.02:
            yield TunableChanged(t_ns=event.t_ns, policy="kv_caching", name="turnover", value=rng.choice((1.0, 2.0)))


def subjects_of(events: list[EngineEvent]) -> list[Subject]:
    added = [event for event in events if isinstance(event, NodeAdded)]
    return list(dict.fromkeys(subject_of(one.role, (one.agent,), one.session, part=one.part) for one in added))


def answers(
    events: list[EngineEvent],
    subjects: list[Subject],
    asks: Callable[[int], bool],
    told_every: int = 40,
    *,
    ahead: bool = False,
) -> Iterator[tuple[list[float], bytes]]:
    """What the policy says every `told_every` events; `asks`: whether it is asked after an event too;
    `ahead`: whether it works ahead."""
    policy = KvCaching()
    for number, event in enumerate(events):
        policy.observe(event)
        if ahead:
            policy.catch_up()
        now_s = event.t_ns / 1e9 + 0.05
        if asks(number):
            policy.scores(subjects[:5], now_s)
            policy.predict(now_s + 0.1)
        if number % told_every == 0:
            prediction = msgspec.json.encode(policy.predict(now_s))
            yield [policy.score(subject, now_s).key for subject in subjects], prediction


@pytest.mark.parametrize("agents", [6, 90], ids=["6 agents", "more agents than slots"])
@pytest.mark.parametrize("told", [True, False], ids=["ends told", "ends not told"])
def test_a_policy_that_was_never_asked_answers_the_same(agents: int, told: bool):
    shape = Shape("random", agents=agents, sessions=16, requests=160, tool_share=0.3, ends_told=told)
    events = events_of(shape)
    subjects = subjects_of(events)[-150:]
    rng = Random(1)
    asked = list(answers(events, subjects, lambda _: True))
    assert asked == list(answers(events, subjects, lambda _: False))
    assert asked == list(answers(events, subjects, lambda _: rng.random() < 0.2))
    assert asked == list(answers(events, subjects, lambda _: rng.random() < 0.2, ahead=True))
    last = (len(events) - 1) // 40 * 40
    assert asked[-1] == list(answers(events, subjects, lambda _: False, told_every=last))[-1]
    assert len({key for keys, _ in asked for key in keys}) > 100


def of_teams(agents: int = 90, size: int = 4) -> Iterator[EngineEvent]:
    """Sessions that stay among a few agents each, drawn anew from more than there are slots for; many at once."""
    rng, now_ns = Random(7), 0
    teams = [(f"s{number}", rng.sample(range(agents), size)) for number in range(24)]
    for number in range(400):
        now_ns += 200_000_000
        if number % 12 == 0:
            teams = [*teams[1:], (f"s{24 + number}", rng.sample(range(agents), size))]
        session, team = rng.choice(teams)
        agent = f"agent{rng.choice(team)}"
        told = {"rid": f"r{number}", "agent": agent, "session": session}
        yield PrefixMatched(t_ns=now_ns, prompt_tokens=500, cached_tokens=100, anchor_tokens=100, **told)
        yield PrefixInserted(t_ns=now_ns + 10**8, rid=f"r{number}", phase="finish", total_tokens=550, new_tokens=0)
        yield AnswerGiven(t_ns=now_ns + 10**8, **told)


def test_nor_does_it_where_agents_take_the_slots_of_others_that_live_sessions_have_been_at():
    events = list(of_teams())
    subjects = [
        subject_of("private", (f"agent{agent}",), session)
        for session in dict.fromkeys(one.session for one in events if isinstance(one, PrefixMatched))
        for agent in range(0, 90, 6)
    ]
    asked = list(answers(events, subjects, lambda _: True))
    assert asked == list(answers(events, subjects, lambda _: False))
    assert len({key for keys, _ in asked for key in keys}) > 100
