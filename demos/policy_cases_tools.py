"""The cases of memoization: sessions that ask the engine and call a tool in turns, on a store that they share.

What is called is made up as in `memo_trace.py`, and answers are judged as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from random import Random
from typing import Any

import msgspec

from .agents import Agent, make_agents
from .memo_trace import Shape, Step, steps
from .policy_case import PolicyCase
from .policy_measures import HIT_RATE, REQUESTS_PER_S, SESSION_MEAN, TOOL_MEAN, TOOL_RUNS, TTFT_MEAN, WRONG, Floor
from .prompts import ask, remark
from .spec import Message, Turn, WorkloadSpec

AGENTS = 4
STEPS = 8
"""Requests of a session: between any two of them is a call."""
TOOL_S = 0.2
"""What a lookup and a search take on the mean; a change takes twice that. A search service that publishes how fast its
own API answers says 150 and 250 ms in the median, by what is searched (Yext, search SLI)."""
CALLED = Shape(agents=AGENTS, keys=40, clock_share=0.0)
RULES = """
[tools.get]
read_only = true
ttl_s = 300
scope = "tenant"
invalidated_by = ["put"]
per = "key"

[tools.search]
read_only = true
ttl_s = 300
scope = "tenant"
invalidated_by = ["put"]
"""


def _schema(name: str, doc: str, *arguments: str) -> dict[str, Any]:
    shape = {"type": "object", "properties": {one: {"type": "string"} for one in arguments}, "required": [*arguments]}
    return {"type": "function", "function": {"name": name, "description": doc, "parameters": shape}}


TOOLS = [
    _schema("get", "What is stored under a key.", "key"),
    _schema("search", "The keys whose values hold a text.", "text"),
    _schema("put", "Store a value.", "key", "value"),
]


def shared_store(seed: int, requests: int) -> list[Turn]:
    """Four agents look up, search and change the same notes; what was of interest before is so again."""
    sessions = max(1, requests // STEPS)
    calls = steps(msgspec.structs.replace(CALLED, steps=-(-sessions // AGENTS) * (STEPS - 1)), seed)
    return _turns(seed, sessions, [iter(mine) for mine in calls.values()])


def nothing_again(seed: int, requests: int) -> list[Turn]:
    """The same sessions, and every call is about something else."""
    return _turns(seed, max(1, requests // STEPS), [_new(f"{seed}-{number}") for number in range(AGENTS)])


def _new(whose: str) -> Iterator[Step]:
    return (Step("get", {"key": f"{whose}-{number}"}) for number in count())


def _turns(seed: int, sessions: int, calls: list[Iterator[Step]]) -> list[Turn]:
    rng = Random(f"tools {seed}")
    agents = make_agents(WorkloadSpec(seed=seed, agents=AGENTS, anchor_tokens=(400, 700)))
    turns: list[Turn] = []
    for number in range(sessions):
        which = number % AGENTS
        turns += _session(rng, f"s{seed}-{number}", agents[which], list(islice(calls[which], STEPS - 1)))
    return turns


def _session(rng: Random, session: str, agent: Agent, calls: list[Step]) -> Iterator[Turn]:
    """A task, and behind each answer a call, whose result the next request brings."""
    messages: list[Message] = [{"role": "system", "content": agent.system}, {"role": "user", "content": ask(rng)}]
    for number, call in enumerate([None, *calls]):
        if call is not None:
            messages = [*messages, *_called(rng, f"call-{number}", call)]
        yield Turn(
            session=session, agent=agent.name, messages=messages, tools=TOOLS, call=call, last=number == len(calls)
        )


def _called(rng: Random, call_id: str, call: Step) -> list[Message]:
    """What the agent said when it made a call, and the place of the result."""
    arguments = msgspec.json.encode(call.arguments).decode()
    made = {"id": call_id, "type": "function", "function": {"name": call.tool, "arguments": arguments}}
    said = {"role": "assistant", "content": remark(rng, 40), "tool_calls": [made]}
    return [said, {"role": "tool", "tool_call_id": call_id, "content": ""}]


NO_FEWER_HITS = Floor(measure=HIT_RATE.name, change="difference", least=-1.0)
"""Both halves send the same prompts, but for what tools say of notes that others change meanwhile. Floors were set on
the tuning seeds. Rules that spare less than a fifth of the calls are not worth writing. Waiting for them is a third of
a session, so that a fifth of that, a little less for what passes, is 5 %. Who waits less for tools asks the engine
sooner, and that is busier with the same requests: its mean TTFT may rise by 10 %. Where nothing is asked twice, 5 ms
and 5 % are what two halves differ by on busy cores; memory itself takes a fraction of a millisecond for a call."""

_SHARED = PolicyCase(
    name="a store that agents share",
    says="what was asked before is answered at once and never wrong, tasks end sooner, and the engine loses nothing",
    turns=shared_store,
    requests=160,
    sessions=4,
    kv_tokens=65_536,
    measures=(SESSION_MEAN, TOOL_MEAN, WRONG, TTFT_MEAN, HIT_RATE, REQUESTS_PER_S),
    counts=(TOOL_RUNS,),
    floors=(
        Floor(measure=WRONG.name, change="difference", most=0.0),
        NO_FEWER_HITS,
        Floor(measure=SESSION_MEAN.name, most=-5.0),
        Floor(measure=TOOL_MEAN.name, most=-20.0),
        Floor(measure=TOOL_RUNS.name, most=-20.0),
        Floor(measure=TTFT_MEAN.name, most=10.0),
    ),
    rules={"memoization": RULES},
    holds=False,
    tool_s=TOOL_S,
)
MEMOIZATION = (
    _SHARED,
    replace(
        _SHARED,
        name="nothing asked twice",
        says="where nothing is asked twice it costs nothing",
        turns=nothing_again,
        requests=64,
        repetitions=16,  # two halves of four seconds each differ by more than the floor: four pairs prove nothing
        floors=(  # none on wrong answers: nothing is stored, so that there is one answer, and nothing to mix up
            NO_FEWER_HITS,
            Floor(measure=SESSION_MEAN.name, most=5.0),
            Floor(measure=TOOL_MEAN.name, change="difference", most=5.0),
            Floor(measure=TOOL_RUNS.name, change="difference", least=0.0, most=0.0),
        ),
    ),
)
