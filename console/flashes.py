"""Which nodes have just left the map, and which have just come without a request for them: what it shows of them for a
moment. Folded from events and timed by their clock, so a replay shows at a moment what the live console showed. Pure.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from radixdeck.policies.events import (
    AnyEvent,
    CacheFlushed,
    EngineLost,
    EngineStarted,
    NodeAdded,
    NodeEvicted,
    NodeSplit,
)
from radixdeck.policies.residency import NodeView, RunState

FLASH_NS = 1_500_000_000
"""For so long it is shown: a second to look at, and what may pass until the next frame has it."""
MOST_STRETCH = 2.0
"""A replay that plays faster shows it as long on the clock of who looks, up to this speed."""
MOST_SHARE = 0.2
"""Of the cells of the map, in a replay that plays faster: what went last, where that is more. A map that is crossed out
says nothing."""
MOST = 4_000
"""So many of either are remembered: an order may evict everything at once."""

EVICTED, TO_HOST, WARMED, FROM_HOST = "\u2573", "↓", "»", "↑"
"""What stands in their cells: a diagonal cross for what was evicted."""
GLYPHS = {
    EVICTED: "evicted",
    WARMED: "warmed",
    TO_HOST: "to host",
    FROM_HOST: "from host",
}


class Gone(NamedTuple):
    """A node that left the device at `t_ns`, as it was."""

    t_ns: int
    glyph: str
    view: NodeView


class Came(NamedTuple):
    """A node that came at `t_ns`."""

    t_ns: int
    glyph: str


One = TypeVar("One", Gone, Came)


class Flashes:
    """`gone` and `came`, by node: of the last FLASH_NS, once `forget` was told what time it is.

    A clock that steps back ends what was shown. Until it has caught up with itself nothing more is: the run's own time
    does not go back with it. `hasty`: more happens in a moment than can be looked at.
    """

    def __init__(self) -> None:
        self.hasty = False
        self.gone: dict[int, Gone] = {}
        self.came: dict[int, Came] = {}
        self._newest_ns = 0

    def __bool__(self) -> bool:
        return bool(self.gone or self.came)

    def clear(self) -> None:
        self.gone.clear()
        self.came.clear()
        self._newest_ns = 0

    def add(self, event: AnyEvent, run: RunState) -> None:
        """Take one event. `run` knows which requests are warm-ups."""
        match event:
            case NodeEvicted():
                self._left(event)
            case NodeAdded():
                self._added(event, run)
            case NodeSplit():
                self._split(event)
            case CacheFlushed() | EngineStarted() | EngineLost():
                # There is no map left on which anything could be seen to go.
                self.clear()
            case _:
                pass

    def forget(self, now_ns: int, speed: float = 1.0) -> Flashes:
        """Leave out what happened longer ago, at the speed of a replay. Returns itself."""
        self.hasty = speed > 1.0
        shown_ns = int(FLASH_NS * max(1.0, min(MOST_STRETCH, speed)))
        for those in (self.gone, self.came):
            for node in [node for node, one in those.items() if one.t_ns <= now_ns - shown_ns]:
                del those[node]
        return self

    def _see(self, t_ns: int) -> None:
        """What time it is for those that go and come. Further back than anything is shown, the clock was set."""
        if t_ns < self._newest_ns - FLASH_NS:
            self.clear()
        self._newest_ns = max(self._newest_ns, t_ns) if self else t_ns

    def _left(self, event: NodeEvicted) -> None:
        self._see(event.t_ns)
        self.came.pop(event.node, None)
        view = NodeView(
            node=event.node, parent=0, start=max(0, event.start), tokens=max(0, event.tokens), agents=event.agents,
            role=event.role, session=event.session,
        )  # fmt: skip
        _put(self.gone, event.node, Gone(event.t_ns, TO_HOST if event.to_host else EVICTED, view))

    def _added(self, event: NodeAdded, run: RunState) -> None:
        self._see(event.t_ns)
        self.gone.pop(event.node, None)
        request = run.requests.get(event.rid)
        glyph = FROM_HOST if event.from_host else WARMED if request is not None and request.warm else ""
        if glyph:
            _put(self.came, event.node, Came(event.t_ns, glyph))

    def _split(self, event: NodeSplit) -> None:
        """Both parts came when the whole did."""
        came = self.came.get(event.node)
        if came is not None:
            _put(self.came, event.upper, came)


def _put(those: dict[int, One], node: int, one: One) -> None:
    """The last one from now on; the first goes where that is too many."""
    those.pop(node, None)
    those[node] = one
    if len(those) > MOST:
        del those[next(iter(those))]
