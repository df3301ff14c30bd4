"""One session of a modelled stream: its walk over the agents, what each prompt is made of, and when it is asked."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from random import Random

from radixdeck.storage.atoms import Atom, Prompt, length

from .graphs import TOPOLOGIES, Walk
from .stream_spec import Bounds, Call, StreamSpec

ZIPF = 0.8
"""How popularity falls with rank where a session draws its team: the skew usual for web and API traffic."""
HANDOVER_SIGMA, TOOL_SIGMA = 0.7, 0.8
MOST_TOOL_CALLS = 6


@dataclass(frozen=True)
class Persona:
    """An agent: its anchor and its habits. `tool`: the one that it calls."""

    name: str
    anchor: Prompt
    tool: str
    tool_share: float
    tool_pause_s: float
    stripped: bool


@dataclass(frozen=True)
class Cast:
    """The agents there are, and who speaks after whom."""

    personas: tuple[Persona, ...]
    walk: Walk


def make_cast(spec: StreamSpec, *, changed: bool) -> Cast:
    """`changed`: after the change halfway, if the stream has one."""
    rng = Random(f"cast {spec.seed} {spec.agents}")
    sizes = _spread(rng, spec.anchor_tokens, spec.agents)
    personas = [_persona(rng, spec, f"agent{n}", size) for n, size in enumerate(sizes)]
    topology = spec.topology
    if changed and spec.change == "roster":
        rng = Random(f"roster {spec.seed}")
        personas = [
            _persona(rng, spec, f"new{n}", size) if n % 2 else old
            for (n, old), size in zip(enumerate(personas), _spread(rng, spec.anchor_tokens, spec.agents), strict=True)
        ]
    elif changed and spec.change == "topology":
        others = [name for name in TOPOLOGIES if name not in (topology, "mixture")]
        topology = Random(f"topology {spec.seed}").choice(others)
    seats = spec.team or spec.agents
    return Cast(tuple(personas), TOPOLOGIES[topology](seats, spec.seed))


def _spread(rng: Random, bounds: Bounds, count: int) -> list[int]:
    """Sizes spread evenly over the bounds, in seeded order, as `workloads.make_agents` spreads anchors."""
    low, high = bounds
    sizes = [round(low + (high - low) * (n + 0.5) / count) for n in range(count)]
    rng.shuffle(sizes)
    return sizes


def _persona(rng: Random, spec: StreamSpec, name: str, tokens: int) -> Persona:
    fast, slow = spec.tool_pause_s
    pause_s = math.exp(rng.uniform(math.log(fast), math.log(slow)))
    anchor = (*_preamble(spec), (f"system {name}", tokens))
    share = rng.uniform(0, 2 * spec.tool_share)
    return Persona(name, anchor, f"tool of {name}", share, pause_s, rng.random() < spec.stripped_share)


def _preamble(spec: StreamSpec) -> Prompt:
    return (("preamble", spec.preamble_tokens),) if spec.preamble_tokens else ()


class Script:
    """A session: `calls` yields its requests one after the other, from `start_s` on."""

    def __init__(self, spec: StreamSpec, cast: Cast, number: int) -> None:
        self._rng = Random(f"session {spec.seed} {number}")
        self._spec, self._cast, self.name = spec, cast, f"s{number}"
        self._count = 0
        self._team = self._draw_team()
        self._own: dict[str, Prompt] = {}
        self._task: Prompt = (self._atom("task", spec.task_tokens),)
        self._transcript = self._task
        self._said: Atom | None = None

    def _draw_team(self) -> list[Persona]:
        """Who takes which seat; agents written for this session alone have anchors and perhaps ids of their own."""
        spec, rng = self._spec, self._rng
        personas = list(self._cast.personas)
        if spec.team:
            ranked = [(rng.random() ** ((n + 1) ** ZIPF), n) for n in range(len(personas))]
            personas = [personas[n] for _, n in sorted(ranked, reverse=True)[: spec.team]]
        return personas if spec.prompts == "fixed" else [self._rewritten(persona) for persona in personas]

    def _rewritten(self, persona: Persona) -> Persona:
        size = self._rng.randint(*self._spec.anchor_tokens)
        name = f"{persona.name}@{self.name}" if self._spec.prompts == "per_task" else persona.name
        anchor = (*_preamble(self._spec), (f"system {persona.name} for {self.name}", size))
        return replace(persona, name=name, anchor=anchor)

    def calls(self, start_s: float) -> Iterator[Call]:
        walk = [self._team[seat] for seat in self._cast.walk(self._rng)]
        for place, persona in enumerate(walk):
            following = walk[place + 1].name if place + 1 < len(walk) else ""
            finish_s = yield from self._turn(persona, start_s, following)
            start_s = finish_s + self._pause_s(persona, tool=False)

    def _turn(self, persona: Persona, start_s: float, following: str) -> Generator[Call, None, float]:
        """An agent's calls until it has answered: the tools it asks for come back to it. Returns when it has."""
        scratch: Prompt = ()
        while True:
            tool = len(scratch) < 2 * MOST_TOOL_CALLS and self._rng.random() < persona.tool_share
            tail = self._tail(persona, scratch, first=not scratch)
            output = self._atom("said", self._spec.said_tokens)
            call = self._call(persona, tail, output, start_s, tool, following)
            yield call
            if not tool:
                self._answered(persona, tail, output)
                return call.finish_s
            start_s = call.finish_s + self._pause_s(persona, tool=True)
            result = self._atom("result", self._spec.result_tokens)
            scratch += (output, result)
            self._own[persona.name] = (*tail, output, result)

    def _tail(self, persona: Persona, scratch: Prompt, *, first: bool) -> Prompt:
        """What the prompt says behind the anchor."""
        if self._spec.style == "supervisor":
            return self._transcript + scratch
        if not first:
            return self._own[persona.name]
        handed = () if self._said is None else ((f"handed {self._said[0]}", self._said[1] + 10),)
        news = self._atom("news", self._spec.news_tokens)
        return (*self._own.get(persona.name, self._task), *handed, news)

    def _answered(self, persona: Persona, tail: Prompt, output: Atom) -> None:
        """The answer joins the histories: in a shared transcript as a message that names its speaker, with what the
        agent found out; in the agent's own as it was, unless its reasoning is left out."""
        kept = (f"stripped {output[0]}", max(1, output[1] // 2)) if persona.stripped else output
        self._own[persona.name] = (*tail, kept)
        found = self._rng.randint(*self._spec.news_tokens) // 2
        self._transcript += ((f"told {output[0]}", output[1] + found),)
        self._said = output

    def _call(self, persona: Persona, tail: Prompt, output: Atom, start_s: float, tool: bool, following: str) -> Call:
        prompt = persona.anchor + tail
        prefilled_s = start_s + length(prompt) / self._spec.prefill_tokens_per_s
        return Call(
            start_s=start_s, prefilled_s=prefilled_s,
            finish_s=prefilled_s + output[1] / self._spec.decode_tokens_per_s, session=self.name, agent=persona.name,
            prompt=prompt, output=(output,), anchor_atoms=len(persona.anchor), fingerprint=persona.anchor[-1][0],
            tool=persona.tool if tool else "", last=not tool and not following,
            next_agent=persona.name if tool else following,
        )  # fmt: skip

    def _atom(self, what: str, bounds: Bounds) -> Atom:
        self._count += 1
        return f"{what} {self.name}.{self._count}", self._rng.randint(*bounds)

    def _pause_s(self, persona: Persona, *, tool: bool) -> float:
        median_s, sigma = (persona.tool_pause_s, TOOL_SIGMA) if tool else (self._spec.pause_s, HANDOVER_SIGMA)
        return self._rng.lognormvariate(math.log(median_s), sigma)
