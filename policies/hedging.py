"""A late request is sent a second time, to another engine; the answer that begins first is taken, the other cancelled.

Hedged requests, as in Dean and Barroso, "The Tail at Scale" (CACM 56(2), 2013): wait for as long as most requests take,
and only then ask elsewhere, so that a few requests more cut the tail. Late is what takes longer to begin than
`quantile` of the last alike: of the same agent, about the same length of prompt and, where the answer comes in one
piece and so has to be written first, of answer; of anybody's alike while an agent has asked too little. Waiting at the
door does not count.

`budget` bounds what it costs: each request adds that much to an account, each second sending takes 1 from it, and more
than `burst` is never saved up. When all are late, which no second sending mends, it is soon empty. Where the second
engine hardly ever answers first, each request adds less, down to a tenth.

A wait that the second engine ended is learned as long as it was, though it would have been longer: it still counts as
longer than what is late. What was saved is guessed from those who had to wait, so rather too low. While only one engine
is known, the door does not ask.
"""

from __future__ import annotations

import math
from typing import ClassVar

from .bounded import Bounded
from .door.waits import Waits
from .doorkeeping import Answered, Asked, BaseDoorkeeper, DoorFact, Entered, Second
from .parameters import Tunable
from .primitives import BasePolicy
from .shares import Share

MAX_KINDS = 512
"""As many times KEPT waits are about 4 MB."""
LEAST_WINS = 0.1
"""Whatever the second engine did so far, it is tried again at a tenth of the budget."""

Kind = tuple[str, bool, int, int]
"""Agent ('' anybody), whether it is streamed, the magnitude of its prompt and, if it is not streamed, of its answer."""


class Hedging(BaseDoorkeeper, BasePolicy):
    """Says what is late, and whether there is still something in the account."""

    name: ClassVar[str] = "hedging"
    doc: ClassVar[str] = "A late request goes to a second engine too; whoever answers first is heard."
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("quantile", 0.95, 0.5, 0.999, "", "Late is what takes longer than this share of those alike"),
        Tunable("least_samples", 20.0, 5.0, 200.0, "requests", "So many alike are seen before any is called late"),
        Tunable("floor_ms", 50.0, 0.0, 60_000.0, "ms", "Nothing is late before this"),
        Tunable("budget", 0.05, 0.0, 1.0, "", "Share of the requests that may be sent twice, at most"),
        Tunable("burst", 5.0, 1.0, 1000.0, "requests", "So many may be sent twice in a row when few were before"),
    )
    notes: ClassVar[tuple[type[DoorFact], ...]] = (Entered, Answered)

    def __init__(self) -> None:
        super().__init__()
        self._waits: Bounded[Kind, Waits] = Bounded(MAX_KINDS)
        self._account = 0.0
        self._wins = Share(1.0)

    def late_s(self, asked: Asked) -> float:
        """See Hedger.late_s."""
        alike = self._alike(asked)
        usual_s = math.inf if alike is None else alike[1].within_s(self.tunables["quantile"])
        return max(usual_s, self.tunables["floor_ms"] / 1e3)

    def hedge(self, asked: Asked, waited_s: float) -> Second:
        """See Hedger.hedge."""
        late = f"no answer after {1e3 * waited_s:.0f} ms, {self._usual(asked)}"
        if self._account < 1:
            return Second(send=False, why=f"{late}; the budget of {self.tunables['budget']:.1%} is used up")
        self._account -= 1
        return Second(send=True, why=late)

    def saved_s(self, asked: Asked, after_s: float) -> float:
        """See Hedger.saved_s."""
        alike = self._alike(asked)
        return alike[1].longer_s(after_s) if alike else 0.0

    def notice(self, fact: DoorFact) -> None:
        match fact:
            case Entered():
                earned = self.tunables["budget"] * max(LEAST_WINS, self._wins.mean)
                self._account = min(self.tunables["burst"], self._account + earned)
            case Answered():
                for kind in _kinds(fact.asked):
                    (self._waits.get(kind) or self._waits.put(kind, Waits())).see(fact.after_s)
                if fact.second:
                    self._wins.see(1.0 if fact.second == "won" else 0.0)
            case _:
                pass

    def _usual(self, asked: Asked) -> str:
        alike = self._alike(asked)
        if alike is None:
            return "and nothing is known of those alike"
        (agent, *_), waits = alike
        share = self.tunables["quantile"]
        return f"{share:.0%} of {agent or 'anybody'}'s alike begin within {1e3 * waits.within_s(share):.0f} ms"

    def _alike(self, asked: Asked) -> tuple[Kind, Waits] | None:
        """The waits of those alike, of the agent's own if there are enough of them; None if there are not."""
        for kind in _kinds(asked):
            waits = self._waits.get(kind)
            if waits is not None and len(waits) >= self.tunables["least_samples"]:
                return kind, waits
        return None


def _kinds(asked: Asked) -> tuple[Kind, Kind]:
    """What a request is compared with: its agent's, and anybody's."""
    written = 0 if asked.streamed else (asked.output_tokens or 0).bit_length()
    alike = asked.streamed, asked.about_tokens.bit_length(), written
    return (asked.agent, *alike), ("", *alike)
