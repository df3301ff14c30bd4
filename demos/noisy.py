"""What the noisy-neighbour incident asks of the engine: a planner with a long anchor, a coder that is always there, and
a researcher whose growing histories push the planner's anchor out. By seed; equal seeds ask equal things."""

from __future__ import annotations

from random import Random

from .prompts import material, remark, system_prompt, tool_schemas
from .workloads import Message, Turn

VICTIM, STEADY, NOISY = "planner", "coder", "researcher"
KV_TOKENS = 6_600
"""Room for every anchor and one of the researcher's histories, not for two of them."""
ANCHOR_TOKENS = {VICTIM: 1_500, STEADY: 700, NOISY: 400}
PAPER_TOKENS = 950
PAPERS = (2, 2)
"""How many papers the researcher reads in each session of a round; a request carries all of its session so far."""
THINK_S = 0.25


class Cast:
    """The three agents of one seed, and rounds of requests of theirs without an end."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"noisy neighbour {seed}")
        self._systems = {name: system_prompt(self._rng, name, size * 0.8) for name, size in ANCHOR_TOKENS.items()}
        self._tools = {name: tool_schemas(self._rng, 2) for name in ANCHOR_TOKENS}
        self._sessions = 0

    def calm(self) -> list[Turn]:
        """A round in which everybody's anchor finds room."""
        return [self._short(STEADY), self._short(VICTIM), self._short(STEADY)]

    def noisy(self) -> list[Turn]:
        """A round with the researcher in it: its sessions, the coder after each request of them, then the planner."""
        papers = [paper for number in PAPERS for paper in self._papers(number)]
        return [*[turn for paper in papers for turn in (paper, self._short(STEADY))], self._short(VICTIM)]

    def _session(self, agent: str) -> str:
        self._sessions += 1
        return f"{agent}-{self._sessions:03d}"

    def _short(self, agent: str) -> Turn:
        """A new, short task: nearly all of its prompt is the agent's anchor."""
        task: Message = {"role": "user", "content": remark(self._rng, self._rng.uniform(20, 50))}
        return self._turn(agent, self._session(agent), [task])

    def _papers(self, number: int) -> list[Turn]:
        session, history, turns = self._session(NOISY), list[Message](), list[Turn]()
        for _ in range(number):
            history.append({"role": "user", "content": f"Read this:\n{material(self._rng, PAPER_TOKENS)}"})
            turns.append(self._turn(NOISY, session, history))
            history = [*history, {"role": "assistant", "content": remark(self._rng, 40)}]
        return turns

    def _turn(self, agent: str, session: str, history: list[Message]) -> Turn:
        system: Message = {"role": "system", "content": self._systems[agent]}
        return Turn(
            session=session, agent=agent, messages=[system, *history], tools=self._tools[agent], think_s=THINK_S
        )
