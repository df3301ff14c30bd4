"""Pinning through tool calls in the manner of Continuum (arXiv 2511.02230): a response that ends in a tool call keeps
its session's KV for a time-to-live taken from the durations of that tool.

The time-to-live is the one that pays best: `argmax_t P(duration <= t) * benefit - t` over the durations seen, with the
benefit of a return in time (prefill and queueing saved) in seconds. Its scheduling, first come first served by
program, is left out: this is an order of eviction.

The defaults are the best of a grid on the tuning seeds 11 to 13 of the modelled bench (five topologies with twelve
agents, each in one prompt style, 400 requests, caches of a quarter to all of the working set). With a benefit of 1000 s
and 60 s while little is known, 28 % of the gap from LRU to the best evictions is closed; with 160 and 20 s 27, with 40
and 10 s 23, with 2 and 2 s 10. They are long since nothing queues there and whoever called a tool comes back: room that
is kept costs other sessions hits, not seconds, and keeping too long costs less than giving up too soon.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from ..events import EngineEvent, EngineStarted, PrefixMatched, SessionEnded, ToolCalled
from ..parameters import Tunable
from ..primitives import BasePolicy, Score, Subject

MAX_TOOLS = 256
MAX_PINS = 256
REMEMBERED = 100
ENOUGH = 5


@dataclass(frozen=True, slots=True)
class Pin:
    """A session that waits for tools since `since_s`, after a response of `agent`."""

    agent: str
    tools: tuple[str, ...]
    since_s: float
    until_s: float


class TtlPinning(BasePolicy):
    """Key: 1 for what a session that waits for a tool comes back to, until its time-to-live is over; else 0."""

    name: ClassVar[str] = "ttl_pinning"
    doc: ClassVar[str] = "Continuum's idea: a session that calls a tool is kept for as long as that tool usually takes."
    slot: ClassVar[str] = "eviction"
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("benefit_s", 1000.0, 0.0, 1000.0, "s", "Seconds of prefill and queueing that a return in time saves"),
        Tunable("first_ttl_s", 60.0, 0.0, 1000.0, "s", "Time-to-live while few durations are known"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._pins: dict[str, Pin] = {}
        self._durations_s: dict[tuple[str, ...], deque[float]] = {}

    @property
    def trims_victims(self) -> bool:
        """Its source is vLLM, whose cache evicts one block after the other, never a whole leaf."""
        return True

    def observe(self, event: EngineEvent) -> None:
        match event:
            case ToolCalled() if event.session:
                self._called(event, event.t_ns / 1e9)
            case PrefixMatched(warm=False):
                self._came_back(event, event.t_ns / 1e9)
            case SessionEnded():
                self._pins.pop(event.session, None)
            case EngineStarted():
                self._pins.clear()
            case _:
                pass

    def _called(self, event: ToolCalled, now_s: float) -> None:
        self._pins.pop(event.session, None)
        self._pins[event.session] = Pin(event.agent, event.tools, now_s, now_s + self.ttl_s(event.tools))
        if len(self._pins) > MAX_PINS:
            del self._pins[next(iter(self._pins))]

    def _came_back(self, event: PrefixMatched, now_s: float) -> None:
        """The session asks again: what it waited for is over."""
        pin = self._pins.pop(event.session, None)
        if pin is None:
            return
        seen = self._durations_s.pop(pin.tools, None) or deque(maxlen=REMEMBERED)
        seen.append(max(0.0, now_s - pin.since_s))
        self._durations_s[pin.tools] = seen
        if len(self._durations_s) > MAX_TOOLS:
            del self._durations_s[next(iter(self._durations_s))]

    def ttl_s(self, tools: tuple[str, ...]) -> float:
        """How long to wait for these tools; 0 if waiting does not pay."""
        seen = sorted(self._durations_s.get(tools, ()))
        if len(seen) < ENOUGH:
            return self.tunables["first_ttl_s"]
        benefit_s = self.tunables["benefit_s"]
        gains = [((number + 1) / len(seen) * benefit_s - ttl_s, ttl_s) for number, ttl_s in enumerate(seen)]
        return max([(0.0, 0.0), *gains])[1]

    def score(self, subject: Subject, now_s: float) -> Score:
        pin = self._pins.get(subject.session) if subject.session else None
        if pin is None or pin.agent not in subject.agents or now_s > pin.until_s:
            return Score(0.0)
        return Score(1.0, {"pinned": 1.0, "ttl_left_s": pin.until_s - now_s})
