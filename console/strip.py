"""The strip of a replay: how much happened when, and the signs of what is worth a jump."""

from __future__ import annotations

from collections.abc import Callable

from radixdeck.storage.session import Session

from .jumps import marks

BUCKETS = 240
AGAIN_S = 1.0
"""While a recording that grows is played, its strip is drawn anew this often at most."""


class Strip:
    """As far as the recording went when it was drawn last. `density`: events per bucket; `marks`: (time, sign)."""

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        """Raises SessionError, as `draw` does."""
        self._session, self._clock = session, clock
        self.draw()

    def draw(self) -> None:
        self._last_ns, self._drawn_s = self._session.last_ns, self._clock()
        self.density, self.marks = self._session.density(BUCKETS), marks(self._session)

    def is_due(self, *, playing: bool) -> bool:
        """Whether the recording has grown since, and it is time to draw it again."""
        grown = self._session.last_ns != self._last_ns
        return grown and (not playing or self._clock() - self._drawn_s >= AGAIN_S)
