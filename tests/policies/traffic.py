"""Small seeded multi-agent workloads for tests of policies, and driving them through the tree model."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

import msgspec
import numpy as np
from tree_model import Prompt, TreeModel, length

from radixdeck.policies.events import EngineEvent, PrefixInserted, PrefixMatched
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.tree.ownership import Who


@dataclass(frozen=True)
class Shape:
    """What to generate. `follow`: weights of the next agent by agent, the last column is the end of the session."""

    topology: str
    agents: int = 6
    sessions: int = 8
    requests: int = 400
    style: str = "private"
    tool_share: float = 0.0
    pause_s: float = 1.0
    ends_told: bool = True


def follow(shape: Shape, rng: Random) -> list[list[float]]:
    count = shape.agents
    match shape.topology:
        case "pipeline":
            return [[float(j == i + 1) for j in range(count)] + [float(i == count - 1)] for i in range(count)]
        case "debate":
            pairs = [i ^ 1 if (i ^ 1) < count else i for i in range(count)]
            return [[0.85 if j == pairs[i] else 0.0 for j in range(count)] + [0.15] for i in range(count)]
        case "selector":
            hub = [1.0 / (count - 1)] * count
            return [[0.0, *hub[1:], 0.1]] + [[0.9] + [0.0] * (count - 1) + [0.1] for _ in range(count - 1)]
        case "random":
            return [[rng.random() for _ in range(count)] + [0.3] for _ in range(count)]
    raise ValueError(shape.topology)


class Session:
    def __init__(self, name: str, shape: Shape, rng: Random, rows: list[list[float]], anchors: list[int]) -> None:
        self.name, self.shape, self.rng, self.rows, self.anchors = name, shape, rng, rows, anchors
        self.agent = 0 if shape.topology in ("pipeline", "selector") else rng.randrange(shape.agents)
        self.turn = 0
        self.tool = False
        self.transcript: Prompt = ((f"{name}/task", rng.randint(40, 160)),)
        self.own: dict[int, Prompt] = {}

    def prompt(self) -> Prompt:
        anchor: Prompt = (("preamble", 40), (f"anchor{self.agent}", self.anchors[self.agent]))
        if self.shape.style == "supervisor":
            return anchor + self.transcript
        news: Prompt = ((f"{self.name}/news{self.turn}", self.rng.randint(100, 400)),)
        self.own[self.agent] = self.own.get(self.agent, self.transcript) + news
        return anchor + self.own[self.agent]

    def answer(self) -> Prompt:
        said: Prompt = ((f"{self.name}/said{self.turn}", self.rng.randint(30, 120)),)
        if self.shape.style == "supervisor":
            self.transcript += ((f"{self.name}/told{self.turn}", length(said) + 150),)
        else:
            self.own[self.agent] += said
        self.turn += 1
        self.tool = self.rng.random() < self.shape.tool_share
        return said

    def move(self) -> bool:
        """On to the next agent; False if the session is over."""
        if self.tool:
            return self.turn < 40
        agents = range(len(self.anchors) + 1)
        self.agent = self.rng.choices(agents, self.rows[self.agent])[0]
        return self.agent < len(self.anchors) and self.turn < 40


@dataclass
class Outcome:
    prompt_tokens: int
    cached_tokens: int
    tree: TreeModel

    @property
    def hit_rate(self) -> float:
        return self.cached_tokens / self.prompt_tokens


def run(shape: Shape, policy: str, capacity_tokens: int, seed: int = 1, host: PolicyHost | None = None) -> Outcome:
    """Drive a workload closed-loop: the sessions' requests overlap, each runs for a while and pauses after it."""
    rng = Random(f"{shape} {seed}")
    tree = TreeModel(capacity_tokens, host or PolicyHost([policy]))
    rows = follow(shape, rng)
    anchors = [rng.randint(300, 1500) for _ in range(shape.agents)]
    outcome = Outcome(0, 0, tree)
    queue: list[tuple[float, int, str, Session]] = []
    number = 0
    for _ in range(shape.sessions):
        number += 1
        session = Session(f"s{number}", shape, Random(f"{seed} {number}"), rows, anchors)
        heapq.heappush(queue, (rng.random() * shape.pause_s * 3, number, "dispatch", session))
    served = 0
    while served < shape.requests:
        now_s, number_of, what, session = heapq.heappop(queue)
        tree.now_s = now_s
        rid = f"{session.name}.{session.turn}"
        if what == "dispatch":
            prompt = session.prompt()
            who = Who(rid, f"agent{session.agent}", session.name, anchor=40 + anchors[session.agent])
            outcome.cached_tokens += tree.dispatch(who, prompt)
            outcome.prompt_tokens += length(prompt)
            served += 1
            heapq.heappush(queue, (now_s + session.rng.uniform(0.1, 0.5), number_of, "finish", session))
            continue
        output = session.answer()
        tree.finish(rid, output, session.tool)
        if session.move():
            pause_s = session.rng.lognormvariate(0, 0.7) * shape.pause_s * (2 if session.tool else 1)
            heapq.heappush(queue, (now_s + pause_s, number_of, "dispatch", session))
            continue
        if shape.ends_told:
            tree.end_session(session.name)
        number += 1
        fresh = Session(f"s{number}", shape, Random(f"{seed} {number}"), rows, anchors)
        heapq.heappush(queue, (now_s + session.rng.random() * shape.pause_s, number, "dispatch", fresh))
    return outcome


def with_contents(events: Iterable[EngineEvent]) -> Iterator[EngineEvent]:
    """The events with what an engine says of prompts and outputs, and with names of requests as long as its own."""
    rng, prompts = np.random.default_rng(1), dict[str, int]()
    for event in events:
        match event:
            case PrefixMatched():
                prompts[event.rid] = event.prompt_tokens
                yield msgspec.structs.replace(
                    event, rid=f"{event.rid:0>32}", base_rid=f"{event.base_rid:0>32}" if event.base_rid else "",
                    tail=rng.bytes(4 * (event.prompt_tokens - event.base_tokens)))  # fmt: skip
            case PrefixInserted():
                output_tokens = event.total_tokens - prompts[event.rid] if event.phase == "finish" else 0
                yield msgspec.structs.replace(event, rid=f"{event.rid:0>32}", output=rng.bytes(4 * output_tokens))
            case _:
                yield event
