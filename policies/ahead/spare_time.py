"""How long the engine will still be left alone, and how fast it computes prompts: learned from what requests do."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from statistics import median

from ..events import ActionTaken, EngineEvent, EngineLoadSampled, EngineStarted, PrefixInserted, PrefixMatched
from ..primitives import PREEMPTED
from ..tags import tag_of

FIRST_EDGE_S = 0.005
RATIO = 1.5
BINS = 26
DECAY = 0.98
DOUBT = 1.0
"""Pauses that would have ended at once, beside those that were seen: few pauses prove little."""
LEAST_TOKENS = 64
"""Prompts of fewer missing tokens say little about speed."""
SAMPLES = 15
MOST_RUNNING = 512

EDGES_S = [FIRST_EDGE_S * RATIO**step for step in range(BINS)]
LOW_S = [0.0, *EDGES_S[:-1]]


class Pauses:
    """How long pauses last in which nobody asks anything, as fading counts in log-spaced bins."""

    def __init__(self) -> None:
        self._counts = array("f", bytes(4 * BINS))

    def see(self, pause_s: float) -> None:
        place = next((place for place, edge_s in enumerate(EDGES_S) if pause_s <= edge_s), BINS - 1)
        for each in range(BINS):
            self._counts[each] *= DECAY
        self._counts[place] += 1.0

    def quiet(self, idle_s: float, for_s: float) -> float:
        """Probability that a pause which has lasted `idle_s` lasts `for_s` longer."""
        return self._longer(idle_s + for_s) / (self._longer(idle_s) + DOUBT)

    def _longer(self, than_s: float) -> float:
        """Pauses longer than that; within a bin they are taken for evenly spread."""
        total = 0.0
        for place in range(bisect_right(EDGES_S, than_s), BINS):
            low_s, high_s = LOW_S[place], EDGES_S[place]
            total += self._counts[place] * (high_s - max(low_s, than_s)) / (high_s - low_s)
        return total


class Median:
    """Of the last few values."""

    def __init__(self, unknown: float) -> None:
        self._unknown = unknown
        self._values = array("f")

    def see(self, value: float) -> None:
        self._values.append(value)
        del self._values[:-SAMPLES]

    @property
    def value(self) -> float:
        return median(self._values) if self._values else self._unknown


class SpareTime:
    """`token_s`: seconds to compute one token of a prompt; `overhead_s`: what any warm-up takes beside that."""

    def __init__(self) -> None:
        self.pauses = Pauses()
        self._token_s, self._overhead_s = Median(0.0), Median(0.01)
        self._running: dict[int, tuple[float, int]] = {}
        self._idle_since_s = -1.0
        self._warm: tuple[int, float, int] | None = None
        self._asked_s = -1.0
        self._computed_tokens = 0

    @property
    def token_s(self) -> float:
        return self._token_s.value

    @property
    def overhead_s(self) -> float:
        return self._overhead_s.value

    def idle_s(self, now_s: float) -> float:
        """For how long nobody asked anything; 0 while a request is under way."""
        return max(0.0, now_s - self._idle_since_s) if self._idle_since_s >= 0 else 0.0

    def asked(self, now_s: float) -> None:
        """A warm-up is asked for."""
        self._asked_s, self._computed_tokens = now_s, 0

    def observe(self, event: EngineEvent) -> None:
        now_s = event.t_ns / 1e9
        match event:
            case PrefixMatched(warm=True):
                self._warm = tag_of(event.rid), now_s, event.cached_tokens
            case PrefixMatched():
                self._came(now_s)
                if len(self._running) < MOST_RUNNING:
                    self._running[tag_of(event.rid)] = now_s, event.cached_tokens
            case PrefixInserted():
                self._inserted(event, now_s)
            case ActionTaken(kind="warm", ok=False) if event.result == PREEMPTED:
                self._came(now_s)
            case ActionTaken(kind="warm", ok=True) if self._asked_s >= 0:
                self._overhead_s.see(max(0.0, now_s - self._asked_s - self._computed_tokens * self.token_s))
                self._asked_s = -1.0
            case EngineStarted():
                self._left(now_s)
            case EngineLoadSampled(running=0, waiting=0) if self._running:
                self._left(now_s)
            case _:
                pass

    def _came(self, now_s: float) -> None:
        """Somebody asks. One who finds a warm-up under way came when it was preempted, not when it had gone."""
        if self._idle_since_s >= 0:
            self.pauses.see(max(0.0, now_s - self._idle_since_s))
            self._idle_since_s = -1.0

    def _left(self, now_s: float) -> None:
        """Nothing is under way any more."""
        self._running.clear()
        self._idle_since_s = now_s

    def _inserted(self, event: PrefixInserted, now_s: float) -> None:
        tag = tag_of(event.rid)
        if self._warm is not None and self._warm[0] == tag:
            self._warmed(event, now_s, *self._warm[1:])
        elif event.phase == "prompt":
            begun_s, cached_tokens = self._running.get(tag, (now_s, event.total_tokens))
            self._timed(now_s - begun_s, event.total_tokens - cached_tokens)
            if tag in self._running:
                self._running[tag] = now_s, event.total_tokens
        elif self._running.pop(tag, None) is not None and not self._running:
            self._left(now_s)

    def _warmed(self, event: PrefixInserted, now_s: float, begun_s: float, cached_tokens: int) -> None:
        computed = event.total_tokens - cached_tokens
        if event.phase == "prompt":
            self._timed(now_s - begun_s, computed)
            self._computed_tokens = computed
        else:
            self._warm = None

    def _timed(self, took_s: float, tokens: int) -> None:
        if tokens >= LEAST_TOKENS and took_s > 0:
            self._token_s.see(took_s / tokens)


class Odds:
    """At one moment, for warm-ups of any size: what they take, and whether nobody asks before they are done."""

    def __init__(self, spare: SpareTime, idle_s: float) -> None:
        self.token_s, self._overhead_s = spare.token_s, spare.overhead_s
        self._pauses, self._idle_s = spare.pauses, idle_s
        self._known: dict[int, tuple[float, float]] = {}

    def of(self, tokens: int) -> tuple[float, float]:
        """Seconds that so many missing tokens take, and the probability that a pause lasts for these."""
        known = self._known.get(tokens)
        if known is None:
            step_s = self._overhead_s + tokens * self.token_s
            known = self._known[tokens] = step_s, self._pauses.quiet(self._idle_s, step_s)
        return known
