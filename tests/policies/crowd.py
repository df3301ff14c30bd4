"""Callers before the admission policy, with a clock of their own."""

from __future__ import annotations

from itertools import count

from radixdeck.policies.admission import Admission
from radixdeck.policies.doorkeeping import Asked, Came, Entered, Left, Verdict
from radixdeck.policies.events import EngineStarted


class Crowd:
    """A policy, a clock, and callers. The cache has 1,000 tokens; agents have no anchors unless a test says so. No
    room is kept for growth, and an idle engine is nobody's reason, unless a test says so."""

    def __init__(self, capacity: int = 1_000, **tunables: float) -> None:
        self.policy, self.now_s, self._ids = Admission(), 0.0, count()
        self.policy.observe(started(capacity))
        for name, value in ({"foresight": 0.0, "fill": 1.0, "busy": 0.0} | tunables).items():
            self.policy.tunables.set(name, value)

    def come(self, session: str, about: int = 100, agent: str = "a") -> Asked:
        asked = Asked(rid=f"r{next(self._ids)}", agent=agent, session=session, about_tokens=about)
        self.policy.notice(Came(t_s=self.now_s, asked=asked))
        return asked

    def says(self, asked: Asked) -> Verdict:
        return self.policy.admit(asked, self.now_s)

    def passes(self, asked: Asked) -> bool:
        return self.says(asked).kind == "pass"

    def enter(self, asked: Asked) -> Asked:
        assert self.passes(asked)
        self.policy.notice(Entered(t_s=self.now_s, asked=asked))
        return asked

    def leave(self, asked: Asked, tokens: int, *, entered: bool = True) -> None:
        self.policy.notice(Left(t_s=self.now_s, asked=asked, entered=entered, prompt_tokens=tokens, output_tokens=0))

    def turn(self, session: str, tokens: int, agent: str = "a") -> None:
        """A whole request that held so many tokens in the end."""
        self.leave(self.enter(self.come(session, tokens, agent)), tokens)

    @property
    def inside(self) -> set[str]:
        return set(self.policy.inside.sessions)


def started(capacity: int, replicas: int = 1) -> EngineStarted:
    return EngineStarted(
        t_ns=1, pid=1, model="m", capacity_tokens=capacity, page_size=1, policy="lru", replicas=replicas
    )
