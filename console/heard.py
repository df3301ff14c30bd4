"""What a console hears of a daemon whose recording it cannot read, as a recording of its own in a temporary folder.

Prompts are not on the bus, not even as hashes; what each request shares with an earlier one is, and that is all a model
of the cache needs. So each prompt gets made-up hashes that share exactly what the events say.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from radixdeck.policies.events import AnyEvent, EventsDropped, NodeAdded, PrefixInserted, PrefixMatched, kind_of
from radixdeck.policies.residency import RunState
from radixdeck.policies.reuse.shadow import REMEMBERED
from radixdeck.storage.errors import RecordingError
from radixdeck.storage.files import RunInfo
from radixdeck.storage.prompts import NOTHING
from radixdeck.storage.recorded import FED
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.trie import Hashes

from .fleet_state import NodeState
from .heard_folder import HeardFolder
from .policy_table import policy_table
from .words import count, time_of_day

MOST_BYTES = 1 << 29
"""The file grows no larger than this; then it stands still, and says so."""
KEPT = 2 * REMEMBERED
"""Requests, anchors and sessions whose made-up hashes are kept."""
MOST_TOKENS = 1 << 24
"""A prompt that is said to be longer is none."""
SPARE_TOKENS = 64
"""Hashes after what an answer left in the tree: the next prompt may repeat a token more of it."""


class MadeUp:
    """Hashes in place of those that the bus leaves out: new numbers for what is new of a prompt or an answer.

    What is shared is told with each request as of one of the last 64; beyond that an agent's prompts share its anchor,
    and what the cache still had of a session's last prompt. A request from before the console listened is made up as
    soon as another one is said to repeat it.
    """

    def __init__(self) -> None:
        self._next = 1
        self._known: OrderedDict[str, Hashes] = OrderedDict()
        self._unheard: OrderedDict[str, Hashes] = OrderedDict()
        self._anchors: OrderedDict[tuple[str, int], Hashes] = OrderedDict()
        self._last_of: OrderedDict[tuple[str, str], str] = OrderedDict()

    def filled(self, event: AnyEvent) -> AnyEvent:
        """The event with hashes."""
        match event:
            case PrefixMatched():
                return self._matched(event)
            case PrefixInserted() if event.phase == "finish" and event.rid in self._known:
                prompt = self._known[event.rid]
                output = self._fresh(max(0, event.total_tokens - len(prompt)) + SPARE_TOKENS)
                _keep(self._known, event.rid, np.concatenate((prompt, output)))
                return msgspec.structs.replace(event, output=_bytes(output))
            case _:
                return event

    def _matched(self, event: PrefixMatched) -> PrefixMatched:
        base = self._known.get(event.base_rid, NOTHING)[: event.base_tokens]
        shared = base if len(base) == event.base_tokens else self._unheard_base(event)
        shared = self._of_session(event, shared)
        prompt = np.concatenate((shared, self._fresh(event.prompt_tokens - len(shared))))[: event.prompt_tokens]
        _keep(self._known, event.rid, prompt)
        _keep(self._last_of, (event.session, event.agent), event.rid)
        if event.anchor_tokens:
            _keep(self._anchors, (event.agent, event.anchor_tokens), prompt[: event.anchor_tokens])
        if shared is not base and len(shared):
            event = msgspec.structs.replace(event, base_rid="", base_tokens=0)
        return msgspec.structs.replace(event, tail=_bytes(prompt[event.base_tokens :]))

    def _unheard_base(self, event: PrefixMatched) -> Hashes:
        """As much as is told of a request that was never heard, or not whole. It begins with the agent's anchor, if
        what is repeated of it is that long."""
        anchor = self._anchors.get((event.agent, event.anchor_tokens), NOTHING)
        known = self._unheard.get(event.base_rid, anchor if len(anchor) <= event.base_tokens else NOTHING)
        if len(known) < event.base_tokens:
            known = np.concatenate((known, self._fresh(event.base_tokens - len(known))))
        _keep(self._unheard, event.base_rid, known)
        return known[: event.base_tokens]

    def _of_session(self, event: PrefixMatched, shared: Hashes) -> Hashes:
        """What the cache still had of the session's last prompt, if that is more, and too long ago to be told."""
        last = self._last_of.get((event.session, event.agent), "")
        before = self._known.get(last, NOTHING)
        if min(len(before), event.cached_tokens) <= len(shared) or last in islice(reversed(self._known), REMEMBERED):
            return shared
        return before[: event.cached_tokens]

    def _fresh(self, number: int) -> Hashes:
        begin, self._next = self._next, self._next + max(0, number)
        return (np.arange(begin, self._next, dtype=np.uint64) & 0xFFFFFFFF).astype(np.uint32)


def is_possible(event: AnyEvent) -> bool:
    """Whether hashes can be made for what it says: whatever is on a bus, somebody else wrote it."""
    match event:
        case PrefixMatched():
            numbers = (event.prompt_tokens, event.cached_tokens, event.base_tokens, event.anchor_tokens)
        case PrefixInserted():
            numbers = (event.total_tokens,)
        case _:
            return True
    return all(0 <= number <= MOST_TOKENS for number in numbers)


def _bytes(hashes: Hashes) -> bytes:
    return hashes.astype("<u4").tobytes()


def _keep(known: OrderedDict[Any, Any], key: object, value: object) -> None:
    """Put it last; the first ones go."""
    known.pop(key, None)
    known[key] = value
    while len(known) > KEPT:
        known.popitem(last=False)


class Heard:
    """One run of one daemon, from the oldest event that the console still holds on. `path`: the file; `run`: whose."""

    def __init__(self, entry: NodeState) -> None:
        """Raises RecordingError or OSError if there is no room for it."""
        self.node, self.run = entry.node, entry.run_id
        self._folder = HeardFolder()
        self.path = self._folder.path / "heard.db"
        first = next(iter(entry.log), None)
        self.since_ns = first.t_ns if first else entry.run.t_ns
        self._seq = first.seq - 1 if first else entry.seq
        info = RunInfo(
            run=self.run, node=self.node, started_ns=self.since_ns, version="", model=entry.run.model,
            config={"policy": {"enabled": _enabled(entry), "tunables": _tunables(entry)}},
        )  # fmt: skip
        try:
            self._recorder = Recorder(self.path, info, max_bytes=MOST_BYTES)
        except RecordingError:
            self._folder.close()
            raise
        run = entry.run
        size = RunState(
            t_ns=self.since_ns, model=run.model, capacity_tokens=run.capacity_tokens, page_size=run.page_size
        )
        self._recorder.keyframe(self._seq, size)
        self._made_up = MadeUp()
        self._missing = 0

    @property
    def words(self) -> str:
        """What the numbers are about."""
        what = f"over what this console heard since {time_of_day(self.since_ns)}, for it cannot read the recording"
        if self._missing:
            what += f"; {count(self._missing, 'event')} of that time could not be heard"
        return f"{what}; {self._recorder.failed}" if self._recorder.failed else what

    def is_of(self, entry: NodeState) -> bool:
        return (self.node, self.run) == (entry.node, entry.run_id)

    async def take(self, entry: NodeState) -> None:
        """Write what the console has heard since the last time."""
        missing = deque(entry.log.missing(self._seq))
        for line in entry.log.after(self._seq):
            while missing and missing[0].start < line.seq:
                self._miss(missing.popleft(), line.t_ns)
            self._seq = line.seq
            if not is_possible(line.event):
                self._miss(range(line.seq, line.seq + 1), line.t_ns)
            elif kind_of(line.event) in FED or (isinstance(line.event, NodeAdded) and not line.event.rid):
                self._recorder.record(line.seq, self._made_up.filled(line.event))
        await self._recorder.flush()

    def _miss(self, numbers: range, t_ns: int) -> None:
        """These came, but could not be heard, or not be believed: the recording says so in their place."""
        self._missing += len(numbers)
        self._recorder.record(numbers.start, EventsDropped(t_ns=t_ns, count=len(numbers)))

    async def close(self) -> None:
        """Away with it."""
        await self._recorder.close()
        self._folder.close()


def _enabled(entry: NodeState) -> list[str]:
    return [policy.name for policy in policy_table(entry).policies if policy.enabled]


def _tunables(entry: NodeState) -> dict[str, dict[str, float]]:
    """Those in force that are not as they come."""
    return {
        policy.name: {one.name: one.value for one in policy.tunables if one.value != one.default}
        for policy in policy_table(entry).policies
    }
