"""What can be asked of a recording: a policy, a size of the cache, values, a moment. No more than a name for a run."""

from __future__ import annotations

from typing import NamedTuple

from radixdeck.storage.whatif import AS_IT_WAS

AS_RECORDED = "as recorded"
AS_MODELLED = "as modelled"
BEST = "best possible"


class Case(NamedTuple):
    """One what-if to run: a policy, the cache `times` as large as it was, and tunables of the policy's own. All of it
    from after event `after_seq` on, -1 for the whole run; before that the run is as it was."""

    policy: str
    times: float = 1.0
    after_seq: int = -1
    values: tuple[tuple[str, float], ...] = ()

    @property
    def words(self) -> str:
        """'kv_caching, turnover 3'."""
        named = [f"{name} {value:g}" for name, value in self.values]
        return ", ".join([self.policy or AS_MODELLED, *named])

    def beside(self, times: float) -> str:
        """Its words beside those of a cache of another size: with its own."""
        return self.words if self.times == times else f"{self.words} at {self.times:g}x"


MODELLED = Case(AS_IT_WAS)
"""The run as it was, through the model: what anything from a moment on is compared with."""
