"""Rates of reuse at an instant, from where all sessions stand: whether each comes back, when, and to which agents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .liveness import Gaps, Residual
from .standing import Standing
from .transitions import Floats, Ints

CERTAIN = 0.98
"""Discounts above this are cut: their rate would grow without bound."""
LONGEST_WAIT_S = 1e4


@dataclass(slots=True)
class Rates:
    """At one instant, per second: reuse of each agent by each live session `[place, agent]` and by all together; and
    the probability that each session is not over."""

    beta_per_s: float
    by_session: Floats
    by_agent: list[float]
    alive: Floats

    def wait_s(self, rate_per_s: float, alive: float) -> float:
        """The wait that such a rate of a session stands for, given that the session is not over."""
        discount = rate_per_s / (rate_per_s + self.beta_per_s) / max(alive, 1e-6)
        return min(LONGEST_WAIT_S, -math.log(max(discount, 1e-9)) / self.beta_per_s) if discount < 1.0 else 0.0


def rates_of(alive: Floats, rest: Floats, reach: Floats, beta_per_s: float, fresh: Floats) -> Rates:
    """By when each session comes back and which agents it reaches from there. `fresh`: rate of each agent in sessions
    that are yet to begin."""
    value = (alive * rest)[:, None] * reach
    np.minimum(value, CERTAIN, out=value)
    by_session = beta_per_s * value
    by_session /= np.subtract(1.0, value, out=value)
    return Rates(beta_per_s, by_session, (np.add.reduce(by_session, 0) + fresh).tolist(), alive)


@dataclass(slots=True)
class Waiting:
    """Of each session what stays while nothing but time passes: how long its gap may be yet, `gaps`; `goes_on`; `over`:
    that it is over, untold; and of those that run, whose places are `runs`, what a request of its agent takes, `run_s`.
    See `coming_back`."""

    gaps: Residual
    goes_on: Floats
    over: Floats
    runs: Ints
    run_s: Floats


def waiting(here: Standing, gaps: Gaps, run_s: Floats, untold_ends: float, beta_per_s: float) -> Waiting:
    """`untold_ends`: share of ends that nobody tells."""
    over = here.p_end * np.where(here.p_end < 1.0, untold_ends, 1.0)
    rest = Residual(gaps.shapes(here.finish, here.at), beta_per_s)
    runs = np.flatnonzero(here.running)
    return Waiting(rest, 1.0 - here.p_end, over, runs, run_s[here.at[runs]])


def not_over(waits: Floats, over: Floats | float) -> Floats:
    """Probability that sessions are not over of which nothing was heard: they may wait yet, or be over untold."""
    return waits / np.maximum(waits + over, 1e-9)


def coming_back(
    here: Waiting, since_s: NDArray[np.float64], beta_per_s: float, now_s: float, *, watches_ends: bool
) -> tuple[Floats, Floats]:
    """Probability that each session is not over, and the discount until its next request if it is not."""
    idle_s = np.maximum(0.0, now_s - since_s)
    still, rest = here.gaps.after(idle_s)
    if not watches_ends:
        still = np.ones_like(still)
    alive = not_over(here.goes_on * still, here.over)
    if len(runs := here.runs):
        alive[runs] = here.goes_on[runs]
        rest[runs] = np.exp(-beta_per_s * np.maximum(here.run_s - idle_s[runs], 0.0))
    return alive, rest
