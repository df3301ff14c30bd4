"""Tool calls as agents make them, made up by seed, and the judge of what they were answered.

Several agents share a store behind an MCP server: they look things up that they and others looked up before, search,
and now and then store something. A call is judged by when it began and ended on the caller's clock: it may have been
answered with any value that the store can have held at a moment in between, and with nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import msgspec

WORDS = ("red", "green", "blue", "black")
NOTHING = "nothing"
FOR_EVER_S = float("inf")


class Step(msgspec.Struct, frozen=True):
    """One call of an agent: a tool of the store, and its arguments."""

    tool: str
    arguments: dict[str, str]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """`steps` per agent; the shares are of all steps, the rest are lookups. Keys are drawn by rank (Zipf, exponent 1):
    what was of interest before is so again."""

    agents: int = 4
    steps: int = 150
    keys: int = 40
    put_share: float = 0.06
    search_share: float = 0.2
    clock_share: float = 0.02


class Seen(msgspec.Struct, frozen=True):
    """A call as its caller saw it. `answer`: what came back, words or a list of them; times on the caller's clock."""

    agent: str
    step: Step
    began_s: float
    ended_s: float
    answer: str | list[str]

    @property
    def took_s(self) -> float:
        return self.ended_s - self.began_s


def steps(shape: Shape, seed: int) -> dict[str, list[Step]]:
    """What each agent calls, in order."""
    return {f"agent-{n}": list(_steps(shape, random.Random(f"{seed}/{n}"))) for n in range(shape.agents)}


def _steps(shape: Shape, chance: random.Random) -> Iterator[Step]:
    keys = [f"note-{n}" for n in range(shape.keys)]
    weights = [1 / (rank + 1) for rank in range(shape.keys)]
    for number in range(shape.steps):
        (key,), draw = chance.choices(keys, weights), chance.random()
        if draw < shape.put_share:
            yield Step("put", {"key": key, "value": f"{chance.choice(WORDS)} {chance.getrandbits(32):x} {number}"})
        elif draw < shape.put_share + shape.search_share:
            yield Step("search", {"text": chance.choice(WORDS)})
        elif draw < shape.put_share + shape.search_share + shape.clock_share:
            yield Step("clock", {})
        else:
            yield Step("get", {"key": key})


class _Write(msgspec.Struct, frozen=True):
    value: str
    began_s: float
    ended_s: float


def wrong_answers(seen: Sequence[Seen]) -> list[Seen]:
    """The calls that were answered with what cannot have been so at the time. The clock is wrong when it says the same
    twice."""
    writes: dict[str, list[_Write]] = {}
    for call in seen:
        if call.step.tool == "put":
            write = _Write(call.step.arguments["value"], call.began_s, call.ended_s)
            writes.setdefault(call.step.arguments["key"], []).append(write)
    told: set[str] = set()
    return [call for call in seen if not _right(call, writes, told)]


def _right(call: Seen, writes: dict[str, list[_Write]], told: set[str]) -> bool:
    match call.step.tool:
        case "get":
            return call.answer in _possible(writes.get(call.step.arguments["key"], []), call)
        case "search":
            return all(_may_be_found(call, key, known) for key, known in writes.items())
        case "clock":
            new = str(call.answer) not in told
            told.add(str(call.answer))
            return new
        case _:
            return call.answer == "stored"


def _may_be_found(call: Seen, key: str, known: Sequence[_Write]) -> bool:
    """Whether a search may have found, or not found, this key."""
    found = key in call.answer
    return any((call.step.arguments["text"] in value) == found for value in _possible(known, call))


def _possible(known: Sequence[_Write], call: Seen) -> set[str]:
    """The values that a key can have had at a moment of the call: begun before its end, and not overwritten for certain
    by one that began after it ended and was over before the call began."""
    every = [_Write(NOTHING, -FOR_EVER_S, -FOR_EVER_S), *known]
    return {
        one.value
        for one in every
        if one.began_s <= call.ended_s
        and not any(one.ended_s <= other.began_s and other.ended_s <= call.began_s for other in every if other != one)
    }
