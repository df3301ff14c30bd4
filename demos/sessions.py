"""One session under way: what each agent is sent when its turn comes, and what is said then.

Assistant turns in the histories are scripted, never the model's own answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from .agents import Agent
from .casts import CASTS, Role
from .graphs import Walk
from .prompts import ask, material, remark
from .spec import Message, Turn, WorkloadSpec
from .tasks import code, follow_up, question

PERSON = "user"


class Session:
    """General roles: its walk, its transcript, and every agent's own history. `away`: factor on the next pause."""

    def __init__(self, name: str, spec: WorkloadSpec, agents: list[Agent], walk: Walk) -> None:
        self.rng = Random(f"{spec.seed} {name}")
        self.name, self.spec, self.agents = name, spec, agents
        self.path: Iterator[int] = walk(self.rng)
        self.said: list[tuple[str, str]] = []
        self.own: dict[str, list[Message]] = {}
        self.away = 1.0
        self.task = self._task()

    def _task(self) -> str:
        return ask(self.rng) + " " + remark(self.rng, self._draw(self.spec.task_tokens))

    def turn(self, number: int) -> Turn:
        """The request of agent `number` now; its scripted answer joins the histories."""
        agent = self.agents[number]
        found = f"What came back:\n{material(self.rng, self._draw(self.spec.material_tokens))}"
        history = self._private(agent.name, found) if self.spec.style == "private" else self._transcript(agent.name)
        answer = remark(self.rng, self._draw(self.spec.remark_tokens))
        self.own[agent.name] = [*history, {"role": "assistant", "content": answer}]
        self.said.append((agent.name, answer if self.spec.style == "private" else f"{answer}\n{found}"))
        return self._request(agent, history)

    def _request(self, agent: Agent, history: list[Message]) -> Turn:
        return Turn(
            session=self.name,
            agent=agent.name,
            messages=[{"role": "system", "content": agent.system}, *history],
            tools=agent.tools,
            max_tokens=self.spec.max_tokens,
            think_s=round(self.away * self.rng.uniform(*self.spec.think_s), 3),
        )

    def _private(self, agent: str, found: str) -> list[Message]:
        """The agent's own turns so far, and what the agent before it hands over."""
        handed = "{} says: {}".format(*self.said[-1]) if self.said else ""
        opening = [] if agent in self.own else [self.task]
        news = "\n\n".join(part for part in (*opening, handed, found) if part)
        return [*self.own.get(agent, []), {"role": "user", "content": news}]

    def _transcript(self, agent: str) -> list[Message]:
        """The task and everything anybody said, the agent's own words as its own."""
        history: list[Message] = [{"role": "user", "content": self.task}]
        for speaker, text in self.said:
            role = "assistant" if speaker == agent else "user"
            history.append({"role": role, "content": text if speaker == PERSON else f"[{speaker}] {text}"})
        return history

    def _draw(self, bounds: tuple[int, int]) -> float:
        return self.rng.uniform(*bounds)


class CastSession(Session):
    """A named workload's cast: an answer of a role with tools is followed by what the tool returned, for the others to
    read; in `private` style an agent is told the task once and what was said since it last spoke, `hears` at most."""

    def __init__(self, name: str, spec: WorkloadSpec, agents: list[Agent], walk: Walk) -> None:
        self.cast = CASTS[spec.cast]
        self.heard: dict[str, int] = {}
        self.turns_left = self.cast.turns - 1
        self.opened = False
        super().__init__(name, spec, agents, walk)

    def _task(self) -> str:
        extra = self._draw(self.spec.task_tokens)
        return question(self.rng, self.cast.kind) + (f"\n\n{remark(self.rng, extra)}" if extra else "")

    def turn(self, number: int) -> Turn:
        agent, role = self.agents[number], self._role(number)
        if number == 0 and self.opened and self.turns_left:
            self.turns_left -= 1
            self.said.append((PERSON, follow_up(self.rng)))
        self.opened = True
        history = self._told(agent.name) if self.spec.style == "private" else self._transcript(agent.name)
        answer = self._answer(role)
        self.own[agent.name] = [*history, {"role": "assistant", "content": answer}]
        found = f"\nWhat came back:\n{material(self.rng, self._draw(self.spec.material_tokens))}" if role.tools else ""
        self.said.append((agent.name, answer + found))
        self.heard[agent.name] = len(self.said)
        turn = self._request(agent, history)
        self.away = role.away
        return turn

    def _role(self, number: int) -> Role:
        return self.agents[number].role or self.cast.roles[number % len(self.cast.roles)]

    def _answer(self, role: Role) -> str:
        tokens = self._draw(self.spec.remark_tokens)
        return code(self.rng, tokens) if role.says == "code" else remark(self.rng, tokens)

    def _told(self, agent: str) -> list[Message]:
        new = self.said[self.heard.get(agent, 0) :][-self.cast.hears :]
        opening = [] if agent in self.own else [self.task]
        news = "\n\n".join([*opening, *(f"{speaker} says: {text}" for speaker, text in new)])
        return [*self.own.get(agent, []), {"role": "user", "content": news or "Go on."}]
