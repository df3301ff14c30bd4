"""Rates of reuse at an instant, from where all sessions stand: whether each comes back, when, and to which agents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .liveness import Gaps, residual
from .standing import Standing
from .transitions import Floats

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
    value = np.minimum((alive * rest)[:, None] * reach, CERTAIN)
    by_session = beta_per_s * value / (1.0 - value)
    return Rates(beta_per_s, by_session, (by_session.sum(0) + fresh).tolist(), alive)


def coming_back(
    here: Standing,
    gaps: Gaps,
    run_s: Floats,
    beta_per_s: float,
    now_s: float,
    *,
    untold_ends: float,
    watches_ends: bool,
) -> tuple[Floats, Floats]:
    """Probability that each session is not over, and the discount until its next request if it is not. `untold_ends`:
    share of ends that nobody tells."""
    idle_s = np.maximum(0.0, now_s - here.since_s)
    still, rest = residual(gaps.shapes(here.finish, here.at), idle_s, beta_per_s)
    if not watches_ends:
        still = np.ones_like(still)
    waiting = (1.0 - here.p_end) * still
    over = here.p_end * np.where(here.p_end < 1.0, untold_ends, 1.0)
    alive = np.where(here.running, 1.0 - here.p_end, waiting / np.maximum(waiting + over, 1e-9))
    to_run_s = np.maximum(run_s[here.at] - idle_s, 0.0)
    return alive, np.where(here.running, np.exp(-beta_per_s * to_run_s), rest)
