"""Another policy beside the one that is on: both modelled on the recording as it grows, a slice at a time.

The bus leaves prompts out, so what is followed is the recording that the daemon writes, a quarter of a second behind,
or one that the console makes of what it hears (`heard`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from radixdeck.policies.events import AnyEvent, EngineStarted, PrefixInserted, PrefixMatched
from radixdeck.policies.residency import RunState
from radixdeck.storage import carried
from radixdeck.storage.always_on import BESIDE, on_beside
from radixdeck.storage.beside import Beside, BesideView
from radixdeck.storage.errors import StorageError
from radixdeck.storage.next_file import next_of
from radixdeck.storage.recorded import tags
from radixdeck.storage.session import Numbered, Session, open_session
from radixdeck.storage.side import SideSpec

from .shadow_words import gaps
from .words import count

SLICE_S = 0.05
BLOCK = 100
MOST_EVENTS = 200_000
"""Of a longer run only the last COLD_EVENTS are modelled, from an empty cache."""
COLD_EVENTS = 40_000
MOST_BEHIND = 50_000
"""Further behind a growing recording than this, what is between is skipped."""
VIEW_EVERY_S = 0.4
VICTIMS = 12
EVERYTHING = 1 << 62
PROMPTS = tags(PrefixMatched, PrefixInserted)


class Choice(NamedTuple):
    """The eviction policy that is on, the other one ('' for none: only the curve), and values that only it has."""

    on: str
    other: str = ""
    values: tuple[tuple[str, float], ...] = ()

    @property
    def specs(self) -> list[SideSpec]:
        if not self.other:
            return []
        held = frozenset(f"{self.other}.{name}" for name, _ in self.values)
        return [SideSpec(self.on, warms=True), SideSpec(self.other, held=held, warms=self.on == self.other)]


class Shadow:
    """Follows one run, a `step` at a time, also where its recording goes on in another file. `trouble`: why it cannot
    go on now, or ''; `skipped`: events that were left out to keep up."""

    def __init__(self, path: Path, choice: Choice, clock: Callable[[], float] = time.perf_counter) -> None:
        self.path, self.choice = path, choice
        self.view: BesideView | None = None
        self.trouble = ""
        self.skipped = 0
        self.settled = False
        self._clock = clock
        self._session: Session | None = None
        self._beside: Beside | None = None
        self._block: list[Numbered] = []
        self._seq = self._begin_seq = self._known_seq = self._first_seq = -1
        self._size = (0, 0)
        self._ahead = 0
        self._patience = MOST_BEHIND
        self._viewed_s = 0.0

    @property
    def words(self) -> str:
        """How far it has come."""
        if self.trouble:
            return self.trouble
        if self.view is None:
            return "beginning"
        left = f"; skipped {self.skipped:,} events: the stream is faster than it can follow" if self.skipped else ""
        left += f"; counted {count(self.view.requests, 'request')}, {lost}" if (lost := gaps(self.view)) else ""
        if self._known_seq < self._begin_seq - 1:
            share = (self._known_seq - self._first_seq) / max(1, self._begin_seq - self._first_seq)
            return f"reading earlier prompts, {share:.0%}{left}"
        if self._ahead > BLOCK:
            return f"catching up, {self._ahead:,} events to go{left}"
        if self.view.warm < 1.0:
            return f"warming up, {self.view.warm:.0%}: the models began with an empty cache{left}"
        return f"following from event {self._begin_seq:,}{left}"

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def step(self, target: int = EVERYTHING) -> bool:
        """One slice nearer to event `target`, or to the end of what is recorded. Returns whether there is more to do.
        Never raises: `trouble` says what is wrong."""
        try:
            more = self._step(target)
        except (StorageError, ValueError) as error:
            # It may be over with what is recorded next: an engine that starts, for one.
            self.trouble, self._beside = str(error), None
            return False
        self.trouble = ""
        self.settled = not more
        return more

    def _step(self, target: int) -> bool:
        session = self._session or open_session(self.path)
        self._session = session
        session.refresh()
        if target > session.last_seq and (self._seq >= session.last_seq or self.trouble):
            session = self._turned(session)
        target = min(target, session.last_seq)
        if self._beside is None or target < self._begin_seq or target < self._seq:
            self._begin(session, target)
        elif target - self._seq > self._patience:
            self.skipped += target - COLD_EVENTS // 2 - self._seq
            self._begin(session, target, most=COLD_EVENTS // 2)
        until_s = self._clock() + SLICE_S
        while self._clock() < until_s and self._advance(session, target, until_s):
            pass
        self._ahead = max(0, target - self._seq)
        if self._ahead == 0 or self._clock() - self._viewed_s > VIEW_EVERY_S:
            self._look()
        return self._ahead > 0

    def _turned(self, session: Session) -> Session:
        """The next file of the run, if it has one with an event in it. The models go on there if no event is missing
        between the two."""
        path = next_of(session.path, session.ended_why)
        if path is None:
            return session
        after = open_session(path)
        if after.last_seq < 0:
            after.close()
            return session
        session.close()
        if after.first_seq != self._seq + 1:
            self._beside = None
        self._block.clear()
        self._session, self.path = after, path
        return after

    def _look(self) -> None:
        if self._beside is not None:
            self.view = self._beside.view(VICTIMS)
            self._viewed_s = self._clock()

    def _begin(self, session: Session, target: int, most: int = MOST_EVENTS) -> None:
        """At the last start of the engine, or with an empty cache not too far back."""
        started = session.next_of(target + 1, ("engine_started",), backwards=True)
        first = session.first_seq if started is None else started
        long = target - first > most
        begin = target - min(most, COLD_EVENTS) if long else first
        _, state = session.state_at(session.arrived_ns(begin))
        if not state.capacity_tokens:
            raise ValueError(f"{self.path} does not say how large the cache is: there is nothing to model yet")
        beside = on_beside(session.info.config, state.policies)
        told = (self._with_tunables(spec, session, state.tunables) for spec in self.choice.specs)
        specs = [spec._replace(beside=beside) for spec in told]
        self._size = (state.capacity_tokens, state.page_size)
        self._beside = Beside(specs, state.capacity_tokens, cold=long or started is None)
        if long or started is None:
            # The models must know the engine's page size, though not what it held.
            self._beside.take(begin - 1 if started is None else started, _start(session, started, state))
        self._block.clear()
        self._first_seq, self._begin_seq, self._seq = first, begin, begin - 1
        self._known_seq = first - 1 if long else begin - 1
        self._ahead = target - begin
        self._patience = max(MOST_BEHIND, int(1.2 * self._ahead))
        self._look()

    def _with_tunables(self, spec: SideSpec, session: Session, changed: dict[str, dict[str, float]]) -> SideSpec:
        """Those in force at the beginning: configured, as changed since; and the values that only the other has."""
        configured = cast("dict[str, Any]", session.info.config.get("policy") or {})
        tunables = cast("dict[str, dict[str, float]]", configured.get("tunables") or {})
        wanted = {spec.policy, *BESIDE, "operator"}
        values = {name: {**tunables.get(name, {}), **changed.get(name, {})} for name in wanted}
        if spec.held:
            values[self.choice.other] |= dict(self.choice.values)
        return spec._replace(tunables=values)

    def _advance(self, session: Session, target: int, until_s: float) -> bool:
        """A little further; False if there is nothing more now."""
        beside = self._beside
        assert beside is not None
        if self._known_seq < self._begin_seq - 1:
            found = session.events(self._known_seq, BLOCK, PROMPTS)
            for seq, event in found:
                if seq < self._begin_seq:
                    beside.know(event)
            last = found[-1][0] if found else self._begin_seq
            self._known_seq = min(self._begin_seq - 1, last)
            return True
        if not self._block:
            self._block = session.events(self._seq, BLOCK)[::-1]
            if not self._block:
                self._seq = target
        while self._block and self._clock() < until_s:
            seq, event = self._block[-1]
            if seq > target:
                self._block.clear()
                self._seq = target
                break
            self._block.pop()
            beside.take(seq, event)
            for _ in beside.work():
                pass
            self._seq = seq
            if isinstance(event, EngineStarted) and seq > self._begin_seq and self._ends_with(event, beside):
                self._begin(session, target)
                return True
        return self._seq < target

    def _ends_with(self, event: EngineStarted, beside: Beside) -> bool:
        """Whether an engine starts to which the models do not fit: they are of another size, or broke with the last."""
        return beside.failed or (event.capacity_tokens, event.page_size) != self._size


def _start(session: Session, started: int | None, state: RunState) -> AnyEvent:
    """The engine's start, made up of what is known of it where there is no event of it."""
    if started is not None:
        return session.events(started - 1, 1)[0][1]
    return carried.start(state)
