"""Where messages come from: a live broker or a recording, behind one Protocol, so that screens cannot tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

from radixdeck.daemon.wire import BrokerAddress, CommandName, Keyframe, PoliciesTable, Reply, Status
from radixdeck.daemon.wire_client import AddressSource
from radixdeck.policies.events import AnyEvent
from radixdeck.policies.residency import RunState
from radixdeck.storage.errors import SessionError

from .bookmarks import Bookmarks
from .event_log import MAX_LINES
from .feed_messages import Connection, FeedMessage, NodeEvents, NodeKeyframe, NodeStatus
from .feed_mqtt import MqttFeed
from .flashes import FLASH_NS
from .jumps import SORTS, Sort, moment_before, next_known, next_of
from .passed_over import history
from .strip import BUCKETS, Strip
from .twin import Twin

if TYPE_CHECKING:
    from radixdeck.storage.session import Session

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
TICK_S = 0.05
IDLE_S = 2.0
HISTORY_EVENTS = 300
"""With a seek come so many events of before at least, for the log, and all that the map still shows."""
RECORDED = "this is a recording; what happened cannot be changed"


class Feed(Protocol):
    """Messages to iterate over inside `async with`, and orders to give. It reconnects by itself and never ends."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    def __aiter__(self) -> AsyncIterator[FeedMessage]: ...

    async def command(
        self, node: str, name: CommandName, arguments: dict[str, Any] | None = None, why: str = ""
    ) -> Reply:
        """Give one order and wait for what became of it. Never raises for what the other side does."""
        ...


def live_feed(address: BrokerAddress | AddressSource, node: str = "") -> Feed:
    """A feed of one daemon, or of every daemon at that broker."""
    return MqttFeed(address, node or None)


class ReplayFeed:
    """A recording as a feed: the state at a moment, then events as they came, at a speed, with pause, step and seek.

    Controls may be called at any time from the same event loop; the messages that follow carry them out. All reading
    of the file happens in the iterator, one call at a time.
    """

    def __init__(
        self, session: Session, *, playing: bool = True, speed: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.node, self.path = session.info.node, session.path
        self.first_ns, self.last_ns = session.first_ns, session.last_ns
        self.position_ns = self._shown_ns = session.first_ns
        self.playing, self.speed, self.skip_idle = playing, speed, True
        self._session, self._clock = session, clock
        self._twin = Twin(session)
        self._seq = session.first_seq - 1
        self._seek_ns: int | None = session.first_ns
        self._steps = 0
        self._ticked_s = 0.0
        self._told_of_skipped = False
        self._wake = asyncio.Event()
        self._jump = 0
        self.sort: Sort = SORTS[0]
        self._from_end = False
        self.strip = Strip(session, clock)
        self.bookmarks = Bookmarks(session.path)
        self.notice = self.bookmarks.trouble

    # ---- controls ----------------------------------------------------------------------------------------------------

    def toggle(self) -> None:
        """Pause or go on; at the end of the recording, start again, unless it is still written."""
        self._from_end = not self.playing and self.position_ns >= self.last_ns
        self.playing = not self.playing
        self._ticked_s = self._clock()
        self._wake.set()

    def step(self, events: int) -> None:
        """One event forward or back; pauses. A step back goes to the previous moment at which anything happened."""
        self.playing = False
        self._steps += events
        self._wake.set()

    def seek(self, t_ns: int) -> None:
        """Go to a moment, clamped to the recording: if that is still written, to what it has by then."""
        self._seek_ns = max(self.first_ns, t_ns)
        self.position_ns = min(self.last_ns, self._seek_ns)
        self._wake.set()

    def jump(self, seconds: float) -> None:
        self.seek(self.position_ns + int(seconds * 1e9))

    def change_speed(self, places: int) -> None:
        """Faster or slower by places of SPEEDS."""
        nearest = min(range(len(SPEEDS)), key=lambda place: abs(SPEEDS[place] - self.speed))
        self.speed = SPEEDS[max(0, min(len(SPEEDS) - 1, nearest + places))]

    def toggle_skip(self) -> None:
        """Skip stretches in which nothing happens, or not."""
        self.skip_idle = not self.skip_idle

    def choose_sort(self, places: int = 1) -> None:
        """What jumps look for: the next of SORTS."""
        self.sort = SORTS[(SORTS.index(self.sort) + places) % len(SORTS)]

    def jump_to(self, direction: int) -> None:
        """To the next thing of the chosen sort, or back to the one before; pauses. `notice` says if there is none."""
        self.playing = False
        self._jump = direction
        self._wake.set()

    def toggle_bookmark(self) -> None:
        """Mark this moment, or take its mark away."""
        marked = self.bookmarks.toggle(self.position_ns, (self.last_ns - self.first_ns) // BUCKETS)
        self.notice = self.bookmarks.trouble or ("bookmark set" if marked else "bookmark taken away")

    def policies(self, run: RunState) -> PoliciesTable | None:
        """What the recorded policies thought of `run` at this moment; None while that is still being worked out, and
        where one of them is not installed here."""
        return None if self._twin.is_behind(self._seq) else self._twin.table(run, self.position_ns)

    # ---- feed --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.playing = False

    def __aiter__(self) -> AsyncIterator[FeedMessage]:
        return self._messages()

    async def command(
        self, node: str, name: CommandName, arguments: dict[str, Any] | None = None, why: str = ""
    ) -> Reply:
        """Refused: what is recorded has happened."""
        return Reply(id="", state="refused", detail=RECORDED)

    async def _messages(self) -> AsyncIterator[FeedMessage]:
        yield Connection(True)
        info = self._session.info
        yield NodeStatus(
            self.node, Status(node=self.node, online=True, run=info.run, model=info.model, version=info.version)
        )
        self._ticked_s = self._clock()
        while True:
            for message in await self._readable():
                yield message
            self._tell_of_skipped()
            if self.strip.is_due(playing=self.playing):
                with suppress(SessionError):  # it stays as it was
                    await asyncio.to_thread(self.strip.draw)
            if self._seek_ns is None and self._twin.is_behind(self._seq):
                # Whoever seeks on does not wait for what the policies thought here.
                await asyncio.to_thread(self._twin.follow, self._seq)
            await self._sleep()

    async def _readable(self) -> list[FeedMessage]:
        """What is due; where the file cannot be read it pauses, back at the moment that is shown, and says so."""
        try:
            due = await self._due()
        except SessionError as error:
            self.playing, self._steps = False, 0
            self.notice = f"{error}; ] goes past it, g to the start"
            if self._seek_ns is None:
                self.position_ns = self._shown_ns
            return []
        if self._seek_ns is None:
            self._shown_ns = self.position_ns
        return due

    async def _due(self) -> list[FeedMessage]:
        """What the controls and the passing of time ask for now."""
        if self._seek_ns is not None:
            return await self._sought()
        if self._jump:
            return await self._jumped()
        if self._steps:
            return self._stepped()
        return self._played()

    async def _sought(self) -> list[FeedMessage]:
        t_ns, self._seek_ns = self._seek_ns or self.first_ns, None
        if t_ns >= self.last_ns:
            self._grow()
            t_ns = self.position_ns = min(t_ns, self.last_ns)
        seq, state = await asyncio.to_thread(self._session.state_at, t_ns)
        left, self._seq, self._ticked_s = self._seq, seq, self._clock()
        keyframe = Keyframe(run=self._session.info.run, seq=seq, t_ns=t_ns, state=state)
        after = max(seq - MAX_LINES, min(seq - HISTORY_EVENTS, self._session.seq_at(t_ns - FLASH_NS)))
        behind = await asyncio.to_thread(history, self._session, left, after, seq, state)
        return [NodeKeyframe(self.node, keyframe), *behind]

    async def _jumped(self) -> list[FeedMessage]:
        """Look for what was asked for, then go there as if somebody had named the moment."""
        backwards, self._jump = self._jump < 0, 0
        if self.sort == "bookmark":
            t_ns = self.bookmarks.next(self.position_ns, backwards=backwards)
        else:
            look = moment_before if backwards else next_of
            seq = await asyncio.to_thread(look, self._session, self.sort, self._seq)
            t_ns = None if seq is None else self._session.arrived_ns(seq)
        if t_ns is None:
            self.notice = f"no {self.sort} {'before' if backwards else 'after'} this"
        elif self._seek_ns is None:
            self.seek(t_ns)
        return []

    def _stepped(self) -> list[FeedMessage]:
        forward, self._steps = self._steps > 0, self._steps - (1 if self._steps > 0 else -1)
        if not forward:
            self.seek(self._session.arrived_ns(self._seq) - 1)
            return []
        if self._seq >= self._session.last_seq:
            self._grow()
        self._seq, found = next_known(self._session, self._seq)
        if found:
            self.position_ns = max(self.position_ns, found[0][1].t_ns)
        return self._passed(found)

    def _played(self) -> list[FeedMessage]:
        now_s = self._clock()
        passed_s, self._ticked_s = now_s - self._ticked_s, now_s
        if not self.playing:
            return []
        if self._from_end:
            self._from_end = False
            self._grow()
            if self._session.ended and self.position_ns >= self.last_ns:
                self.seek(self.first_ns)
                return []
        self.position_ns += int(passed_s * self.speed * 1e9)
        found = self._session.until(self._seq, self.position_ns)
        if not found and self.skip_idle:
            self._skip()
        if self.position_ns >= self.last_ns:
            self._at_end()
        return self._passed(found)

    def _skip(self) -> None:
        """Jump over a stretch in which nothing happened, to shortly before what comes next."""
        _, ahead = next_known(self._session, self._seq)
        if ahead and ahead[0][1].t_ns - self.position_ns > IDLE_S * 1e9:
            self.position_ns = ahead[0][1].t_ns - int(IDLE_S * 0.25e9)

    def _at_end(self) -> None:
        """A file that is still written grows; else the replay stops here."""
        self._grow()
        self.position_ns = min(self.position_ns, self.last_ns)
        self.playing = not self._session.ended

    def _grow(self) -> None:
        """See what a file that is still written has gained."""
        self._session.refresh()
        self.first_ns, self.last_ns = self._session.first_ns, self._session.last_ns

    def _passed(self, found: list[tuple[int, AnyEvent]]) -> list[FeedMessage]:
        if found:
            self._seq = found[-1][0]
        return list(self._as_message(found))

    def _tell_of_skipped(self) -> None:
        """Events that this version cannot read are left out, and that is said once."""
        if self._session.skipped and not self._told_of_skipped:
            self._told_of_skipped = True
            by = self._session.info.version
            self.notice = f"left out: events of a kind that this version does not know (written by radixdeck {by})"

    def _as_message(self, found: list[tuple[int, AnyEvent]]) -> list[NodeEvents]:
        run = self._session.info.run
        return [NodeEvents(self.node, run, found[0][0], found[-1][0], found)] if found else []

    async def _sleep(self) -> None:
        """Until a control is used, or for one tick while time passes."""
        pending = self._seek_ns is not None or self._steps or self._jump or self._twin.is_behind(self._seq)
        try:
            async with asyncio.timeout(0 if pending else TICK_S if self.playing else None):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
