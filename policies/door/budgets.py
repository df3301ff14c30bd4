"""Budgets that refill all the time: what was used wears off evenly, a whole budget in a whole period."""

from __future__ import annotations

from ..bounded import Bounded

MAX_BUDGETS = 16_384


class Budgets:
    """What was used of each budget, by key. The limit is told with every question, since it may change meanwhile."""

    def __init__(self, max_budgets: int = MAX_BUDGETS) -> None:
        self._used: Bounded[tuple[str, ...], tuple[float, float]] = Bounded(max_budgets)

    def used(self, key: tuple[str, ...], limit: float, period_s: float, now_s: float) -> float:
        """What still counts as used at `now_s`."""
        amount, at_s = self._used.get(key) or (0.0, now_s)
        return max(0.0, amount - max(0.0, now_s - at_s) * limit / period_s)

    def wait_s(self, key: tuple[str, ...], limit: float, period_s: float, now_s: float, amount: float) -> float:
        """Seconds until `amount` more fits into the limit; 0 if it does now. More than the limit fits only when nothing
        is used."""
        over = self.used(key, limit, period_s, now_s) + min(amount, limit) - limit
        return max(0.0, over * period_s / limit)

    def charge(self, key: tuple[str, ...], limit: float, period_s: float, now_s: float, amount: float) -> None:
        """Use that much more, or less if negative; the limit may be passed, and is then waited for."""
        self._used.put(key, (max(0.0, self.used(key, limit, period_s, now_s) + amount), now_s))
