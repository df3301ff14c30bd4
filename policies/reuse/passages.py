"""How sessions pass from agent to agent, by the counts of one moment: the discount until each agent is dispatched."""

from __future__ import annotations

import numpy as np

from .distances import Known
from .habits import Habits
from .leaving import Chances
from .transitions import Floats, Transitions, first_passage


class Moment:
    """What else was known when `Transitions` were as they are here. `pause`: discount behind responses, see Gaps;
    `run_s`: how long a request of each agent took; `chances`: of ends; `told`: whether it was told where sessions stood
    then; `changed`: a bit for each agent of whom more was counted since."""

    __slots__ = ("chances", "changed", "pause", "run_s", "told")

    def __init__(self, pause: Floats, run_s: Floats, chances: Chances) -> None:
        self.pause, self.run_s, self.chances = pause, run_s, chances
        self.told, self.changed = False, 0


class Passages:
    """`start[a]`: discount until agent a is dispatched by a session from the moment it begins; `paused[finish, i]`:
    discount of the pause behind agent i's responses that finish so, as often as they do; `ran[i]`: discount of one of
    its requests; `overall`: how likely each agent is to be next, if it does not matter which one follows which; `step`:
    discount of a session's step from dispatch to dispatch, on the mean, as far as there is one; `back_to`: see
    Known.passages, None where it does not matter who follows."""

    __slots__ = ("_passage", "back_to", "overall", "paused", "ran", "start", "step")

    def __init__(
        self, transitions: Transitions, was: Moment, habits: Habits, known: Known, beta_per_s: float, predicts: bool
    ) -> None:
        count = transitions.agents
        counts = transitions.counts()
        marginal = transitions.marginal(counts)
        following, by_finish, unmet = habits.following(counts, np.arange(count))
        by_finish /= (np.add.reduce(by_finish, -1) + unmet)[:, :, None]
        first = transitions.first(marginal)
        self.overall: Floats | None = None
        if not predicts:
            first = self.overall = _forget_who_follows(following, by_finish)
        finishes, pause = transitions.finishes(counts), was.pause
        step = np.einsum("fi,fi,fij->ij", finishes, pause, by_finish[:, :, 1:])
        ran = np.exp(-beta_per_s * was.run_s)
        step *= ran[:, None]
        weights = marginal[1:] / marginal[1:].sum()
        self.step, again = float(step.sum(1) @ weights), float(step.diagonal() @ weights)
        self.back_to = known.passages((self.step - again) / (1.0 - again)) if predicts else None
        self._passage = first_passage(step).astype(np.float16)
        self.ran = ran.astype(np.float16)
        self.paused = finishes.astype(np.float16) * pause.astype(np.float16)
        self.start = self.reach(first[None])[0]

    def reach(self, following: Floats) -> Floats:
        """Discount until each agent's next dispatch, from (discounted) probabilities of the next one, `[any, agent]`:
        it comes at once, or after a passage from another one that does."""
        passage = self._passage
        return following + (following[:, None] @ passage)[:, 0] - following * passage.diagonal()

    def widen(self) -> None:
        """Numbers that need no conversion are faster."""
        if self._passage.dtype != np.float32:
            self._passage = self._passage.astype(np.float32)


def _forget_who_follows(following: Floats, by_finish: Floats) -> Floats:
    """Keep when sessions end and come back, but let every agent be as likely as it is overall. Returns how likely."""
    overall = following[:, 1:].mean(0)
    overall = overall / overall.sum()
    for rows in (following, by_finish):
        rows[..., 1:] = (1.0 - rows[..., :1]) * overall
    return overall
