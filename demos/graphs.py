"""Who speaks after whom: the topologies of multi-agent sessions, as seeded walks over agent numbers.

Five shapes are those that the literature on agent-aware caching evaluates (pipeline, debate, selector, random, and
sessions of all kinds mixed); two are those of a judged conversation and of a coder with tests. A walk ends when its
session is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

Walk = Callable[[Random], Iterator[int]]
"""Given a session's own generator, the agents of that session in the order they are dispatched."""


def pipeline(agents: int, _seed: int) -> Walk:
    """Each agent once, in order; one step in eight is sent back to the agent before for rework."""

    def walk(rng: Random) -> Iterator[int]:
        for agent in range(agents):
            yield agent
            if agent and rng.random() < 0.125:
                yield agent - 1
                yield agent

    return walk


def debate(agents: int, _seed: int) -> Walk:
    """A moderator opens, up to four debaters take two or three rounds in turn, a judge closes."""

    def walk(rng: Random) -> Iterator[int]:
        debaters = list(range(1, agents - 1)) or [agents - 1]
        first = rng.randrange(len(debaters))
        table = (debaters[first:] + debaters[:first])[:4]
        yield 0
        for _ in range(rng.randint(2, 3)):
            yield from table
        yield agents - 1

    return walk


def selector(agents: int, seed: int) -> Walk:
    """A supervisor picks each next worker by what the last one did: every other dispatch is the supervisor's.

    The preferences are skewed (each worker has a favourite successor at about 60 %) and belong to the workload, not to
    a session, so they can be learned.
    """
    favourite = list(range(1, agents)) or [0]
    Random(f"selector {seed}").shuffle(favourite)

    def walk(rng: Random) -> Iterator[int]:
        yield 0
        place = rng.randrange(len(favourite))
        for _ in range(rng.randint(3, 6)):
            yield favourite[place]
            yield 0
            place = (place + 1) % len(favourite) if rng.random() < 0.6 else rng.randrange(len(favourite))

    return walk


def random_walk(agents: int, _seed: int) -> Walk:
    """Any other agent next, all equally likely: nothing to learn but when a session is over."""

    def walk(rng: Random) -> Iterator[int]:
        agent = rng.randrange(agents)
        for _ in range(rng.randint(4, 12)):
            yield agent
            agent = (agent + rng.randrange(1, agents)) % agents if agents > 1 else agent

    return walk


def mixture(agents: int, seed: int) -> Walk:
    """Each session is of one of the four other kinds."""
    kinds = [make(agents, seed) for make in (pipeline, debate, selector, random_walk)]

    def walk(rng: Random) -> Iterator[int]:
        return rng.choice(kinds)(rng)

    return walk


def two_turns(agents: int, _seed: int) -> Walk:
    """A host hands a request to one specialist, a critic reads the draft (one in four goes back), an editor answers;
    the person asks once more and the same specialist drafts again; a judge closes."""
    critic, editor, judge = (max(0, agents - n) for n in (3, 2, 1))
    specialists = list(range(1, critic)) or [0]

    def walk(rng: Random) -> Iterator[int]:
        specialist = rng.choice(specialists)
        for _ in range(2):
            yield 0
            yield specialist
            yield critic
            if rng.random() < 0.25:
                yield specialist
                yield critic
            yield editor
        yield judge

    return walk


def coding(agents: int, _seed: int) -> Walk:
    """A team of six: planner, test designer, then coder and executor until the tests pass (55 % each time, five times
    at most) with a debugger between, reviewer. Larger rosters are several such teams."""

    def walk(rng: Random) -> Iterator[int]:
        first = 6 * rng.randrange(max(1, agents // 6))
        planner, coder, designer, executor, debugger, reviewer = ((first + n) % agents for n in range(6))
        yield planner
        yield designer
        for attempt in range(5):
            if attempt:
                yield debugger
            yield coder
            yield executor
            if rng.random() < 0.55:
                break
        yield reviewer

    return walk


TOPOLOGIES: dict[str, Callable[[int, int], Walk]] = {
    "pipeline": pipeline,
    "debate": debate,
    "selector": selector,
    "random": random_walk,
    "mixture": mixture,
    "two_turns": two_turns,
    "test_loop": coding,
}
