"""Prefills what will most likely be asked next while nobody asks anything, as far as that is worth its risk (CacheSage,
arXiv 2605.27744, warms up likely agents; whole prompts, steps and what each is weighed by are ours).

The other policies say which agent is next in each session. Its prompt is prefilled in steps, each a short request of
its own; a step is taken if the time that it will save exceeds what it may cost: the wait of a real request that comes
meanwhile, since a prefill that has begun cannot be stopped, and what it displaces from the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from .ahead.next_prompts import NextPrompts
from .ahead.spare_time import Odds, SpareTime
from .events import (
    ActionTaken,
    CacheFlushed,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    NodeEvicted,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
)
from .parameters import Tunable
from .primitives import Action, BasePolicy, Prediction

STEPS_TOKENS = (128, 256, 512, 1024, 2048)
LEAST_TOKENS = 64
MIN_DISPATCHES = 30
MOST_CANDIDATES = 16
PATIENCE_S = 10.0
"""A warm-up nobody confirmed after so long no longer counts as under way."""


class Wager(msgspec.Struct, frozen=True, kw_only=True):
    """One step: prefill the first `upto` tokens of what the agent will be asked, `tokens` of them missing. `chance`:
    that it will be asked, `quiet`: that nobody asks before the step is done. Seconds that it saves, that real requests
    wait for it, and that recomputing costs what it displaces."""

    agent: str
    session: str
    upto: int
    tokens: int
    chance: float
    quiet: float
    saves_s: float
    delays_s: float
    displaces_s: float

    def worth_s(self, margin: float) -> float:
        return self.saves_s - margin * (self.delays_s + self.displaces_s)

    def why(self) -> str:
        return (
            f"comes next with {self.chance:.2f}, quiet with {self.quiet:.2f}: saves {1e3 * self.saves_s:.1f} ms, "
            f"delays {1e3 * self.delays_s:.1f} ms, displaces {1e3 * self.displaces_s:.1f} ms"
        )


class Speculation(BasePolicy):
    """Asks for one step at a time, and for the next one when that is done."""

    name: ClassVar[str] = "speculation"
    doc: ClassVar[str] = "Prefills in idle time what is likely asked next, if that saves more than it may cost."
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("paths", 1.0, 0.0, 1.0, "", "Whether the next prompt of a session is prefilled, not only anchors"),
        Tunable("anchors", 1.0, 0.0, 1.0, "", "Whether anchors that are missing are prefilled"),
        Tunable("least_chance", 0.3, 0.0, 1.0, "", "Least probability of what is prefilled"),
        Tunable("margin", 1.5, 0.0, 100.0, "x", "How much more a step must save than it may cost"),
        Tunable("delay_weight", 1.0, 0.0, 10.0, "x", "How much a real request's wait counts; 0: nobody waits"),
        Tunable(
            "longest_step_s", 0.15, 0.01, 10.0, "s",
            "Prefill of one step: a real request waits so long at most, as far as is known what is cached",
        ),
    )  # fmt: skip
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (
        PrefixMatched, PrefixInserted, NodeEvicted, ActionTaken, SessionEnded, CacheFlushed, EngineStarted,
        EngineLoadSampled,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._spare = SpareTime()
        self._prompts = NextPrompts()
        self._expected = Prediction()
        self._free_tokens = 0
        self._asked_s = -PATIENCE_S
        self._best: Wager | None = None
        self._steps = self._preempted = 0

    @property
    def wants_paths(self) -> bool:
        return bool(self.tunables["paths"])

    def observe(self, event: EngineEvent) -> None:
        self._spare.observe(event)
        match event:
            case PrefixMatched() if event.agent:
                self._prompts.matched(event)
            case PrefixInserted():
                self._prompts.inserted(event)
            case NodeEvicted():
                self._prompts.evicted(event)
            case ActionTaken(kind="warm"):
                self._asked_s = -PATIENCE_S
                self._steps += event.ok
                self._preempted += not event.ok
                self._prompts.taken(event)
            case SessionEnded():
                self._prompts.ended(event.session)
            case EngineLoadSampled():
                self._free_tokens = event.capacity_tokens - event.used_tokens
            case CacheFlushed(told_anew=False) | EngineStarted():
                self._prompts.flushed()
            case _:
                pass

    def foresee(self, prediction: Prediction) -> None:
        self._expected = prediction

    def act(self, now_s: float) -> list[Action]:
        self._best = None
        if now_s - self._asked_s < PATIENCE_S or self._expected.dispatches < MIN_DISPATCHES or not self._spare.token_s:
            return []
        margin = self.tunables["margin"]
        odds = Odds(self._spare, self._spare.idle_s(now_s))
        wagers = [wager for wanted in self._candidates() for wager in self._steps_of(*wanted, odds)]
        best = self._best = max(wagers, key=lambda wager: wager.worth_s(margin), default=None)
        if best is None or best.worth_s(margin) <= 0:
            return []
        self._asked_s = now_s
        self._spare.asked(now_s)
        return [Action("warm", agent=best.agent, session=best.session, amount=float(best.upto), why=best.why())]

    # ---- the choice --------------------------------------------------------------------------------------------------

    def _candidates(self) -> Iterator[tuple[float, str, str, int, int]]:
        """The likeliest prompts of which something is missing: chance, agent, session, tokens cached, and all."""
        found = [*self._paths()] if self.tunables["paths"] else []
        if self.tunables["anchors"]:
            survival = self._expected.survival
            found += [
                (survival.get(agent, 0.0), agent, "", cached, tokens)
                for agent, cached, tokens in self._prompts.anchors_missing()
            ]
        least = self.tunables["least_chance"]
        found = [wanted for wanted in found if wanted[0] >= least and wanted[4] - wanted[3] >= LEAST_TOKENS]
        yield from sorted(found, reverse=True)[:MOST_CANDIDATES]

    def _paths(self) -> Iterator[tuple[float, str, str, int, int]]:
        least = self.tunables["least_chance"]
        for session, row in self._expected.next_agent.items():
            for agent, chance in row.items():
                if chance >= least and (wanted := self._prompts.wanted(session, agent)) is not None:
                    yield chance, agent, session, *wanted

    def _steps_of(
        self, chance: float, agent: str, session: str, cached: int, tokens: int, odds: Odds
    ) -> Iterator[Wager]:
        """Steps of different lengths: a long one has less overhead, a short one less risk, half of it on the mean."""
        missing, token_s, tunables = tokens - cached, odds.token_s, self.tunables
        longest_tokens = max(STEPS_TOKENS[0], tunables["longest_step_s"] / token_s)
        useful, regret, free_tokens = self._prompts.useful.mean, self._prompts.regret, max(0, self._free_tokens)
        for size in sorted({min(missing, size) for size in STEPS_TOKENS if size <= longest_tokens}):
            step_s, quiet = odds.of(size)
            yield Wager(
                agent=agent, session=session, upto=cached + size, tokens=size, chance=chance, quiet=quiet,
                saves_s=chance * useful * quiet * size * token_s,
                delays_s=tunables["delay_weight"] * (1.0 - quiet) * 0.5 * step_s,
                displaces_s=max(0, size - free_tokens) * regret * token_s,
            )  # fmt: skip

    # ---- what it tells -----------------------------------------------------------------------------------------------

    def tells(self) -> dict[str, float]:
        """What was gained and lost so far, and the parts of the last decision, for or against."""
        told = {
            "steps": float(self._steps), "preempted": float(self._preempted),
            "warmed_tokens": float(self._prompts.warmed_tokens), "used_tokens": float(self._prompts.used_tokens),
            "wasted_tokens": float(self._prompts.wasted_tokens), "regret": self._prompts.regret,
            "useful": self._prompts.useful.mean, "prefill_tokens_per_s": 1 / max(self._spare.token_s, 1e-9),
            "overhead_s": self._spare.overhead_s,
        }  # fmt: skip
        if (best := self._best) is not None:
            told |= {
                "chance": best.chance, "quiet": best.quiet, "tokens": float(best.tokens), "saves_s": best.saves_s,
                "delays_s": best.delays_s, "displaces_s": best.displaces_s,
                "worth_s": best.worth_s(self.tunables["margin"]),
            }  # fmt: skip
        return told
