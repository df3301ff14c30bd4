"""What a what-if is fed of a recording: its requests, and the hints of callers, daemon and operator, in order."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from radixdeck.policies.events import (
    AgentSeen,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    Event,
    HostNodeKept,
    HostNodeLeft,
    NodeAdded,
    NodeEvicted,
    NodeOwned,
    NodeSplit,
    PolicyFailed,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
)
from radixdeck.policies.host import FALLBACK, OPERATOR, PolicyError, PolicyHost, TunableError
from radixdeck.policies.tree.sight import NAME as THIS_LAYER

from . import carried
from .always_on import on_beside
from .demand import Lookup, Request
from .errors import WhatIfError
from .in_blocks import in_blocks
from .model_cache import CHUNK_TOKENS
from .room import make_sure_of_room
from .session import Numbered, Session


def tags(*kinds: type[Event]) -> tuple[str, ...]:
    """What the kinds are called in a recording."""
    return tuple(str(kind.__struct_config__.tag) for kind in kinds)


ENGINE = tags(*get_args(EngineEvent))
OF_NODES = (NodeAdded, NodeSplit, NodeOwned, NodeEvicted, HostNodeKept, HostNodeLeft)
"""What a model says of its own tree, and is not told of another one's."""
FED = tags(*(kind for kind in get_args(EngineEvent) if kind not in OF_NODES), AgentSeen)


class RecordedFailure(msgspec.Struct, frozen=True):
    """At event `seq` something of the real engine's order of evictions raised: a policy, or this layer under its own
    name. It ran on SGLang's own order (LRU) from there."""

    seq: int
    policy: str
    call: str
    error: str


class Tuned(msgspec.Struct, frozen=True):
    """A tunable of a policy, and its value."""

    policy: str
    name: str
    value: float


class Recorded:
    """Read once, for any number of what-ifs. `requests`: by the number of their PrefixMatched, warm-ups included.

    `sizes`: of the real KV pool, one for each start of the engine that tells; `capacity_tokens` the last of them and
    `first_tokens` the first, 0 if none tells. `policy`: the eviction policy at the start, '' if unknown. Where the file
    goes on with a run whose engine was up already, a start is made up of its first keyframe.
    `chunk_tokens`: how much of a prompt it computed at once. `incomplete`: requests that it does not hold whole.
    `last_seq`: the last event read; what a live recording gains later is not. `failures`: what broke in the real run.
    """

    def __init__(self, session: Session) -> None:
        """Raises SessionError if the recording is damaged, WhatIfError if there are no requests in it, or more than
        there is memory for."""
        self.session = session
        self.last_seq = session.last_seq
        make_sure_of_room(session)
        before = session.skipped
        self.requests: dict[int, Request] = {request.start: request for request in session.requests(warm_ups=True)}
        self.incomplete = session.skipped - before
        if all(request.warm for request in self.requests.values()):
            raise WhatIfError(f"{session.path} has no whole request in it: nothing to run again")
        self._before = session.state_after(session.first_seq - 1)
        found = [*self._carried_start(), *self._events(tags(EngineStarted))]
        self._starts = [seq for seq, _ in found]
        starts = [event for _, event in found if isinstance(event, EngineStarted)]
        self.sizes = [event.capacity_tokens for event in starts if event.capacity_tokens]
        self.capacity_tokens, self.first_tokens = (self.sizes[-1], self.sizes[0]) if self.sizes else (0, 0)
        self.policy = starts[0].policy if starts else ""
        self._page_size = max(1, starts[-1].page_size) if starts else 1
        self.chunk_tokens = self._chunk_tokens()
        self.failures = list(self._failures())

    def tunables(self) -> tuple[dict[str, dict[str, float]], list[Tuned]]:
        """The policies' tunables that the real run was started with; and those that cannot be set here: another version
        recorded it, or a policy is not installed."""
        section: Any = self.session.info.config.get("policy", {})
        try:
            configured = msgspec.convert(section.get("tunables", {}), dict[str, dict[str, float]])
        except (AttributeError, msgspec.ValidationError):
            return {}, []
        host, unknown = PolicyHost([]), list[Tuned]()
        for policy, values in configured.items():
            for name, value in list(values.items()):
                try:
                    host.check_tune(policy, name, value)
                except (PolicyError, TunableError):
                    unknown.append(Tuned(policy, name, values.pop(name)))
        return {policy: values for policy, values in configured.items() if values}, unknown

    def beside(self) -> tuple[str, ...]:
        """The policies that order evictions too, whichever holds the slot, and that the real run was started with."""
        return on_beside(self.session.info.config, self._before.policies)

    def events(self) -> Iterator[Numbered]:
        """What the model is fed, in order; what was so before the first event has the number before."""
        yield from self._carried_start()
        yield from ((self.session.first_seq - 1, event) for event in carried.tuned(self._before))
        for seq, event in self._events(FED):
            if not (isinstance(event, CacheFlushed) and self._is_resync(seq)):
                yield seq, event

    def refused(self, *, warm_ups: bool) -> dict[Lookup, list[Request]]:
        """The look-ups that led to no admission."""
        found: dict[Lookup, list[Request]] = {}
        for start, request in self.requests.items():
            for step in request.refused if warm_ups or not request.warm else ():
                found.setdefault((bisect(self._starts, start), step), []).append(request)
        return found

    def _carried_start(self) -> list[Numbered]:
        """The start of an engine that was up before the first event, if the file knows of one."""
        state = self._before
        if not (state.engine_up and state.capacity_tokens):
            return []
        return [(self.session.first_seq - 1, carried.start(state, carried.eviction_policy(state)))]

    def _failures(self) -> Iterator[RecordedFailure]:
        """One that only learned, while it was off, had no part in the order."""
        took_part = {THIS_LAYER, OPERATOR, self.policy, *FALLBACK.values(), *self.beside()}
        for seq, event in self._events(tags(PolicySwitched, PolicyFailed)):
            if isinstance(event, PolicySwitched) and event.enabled:
                took_part.add(event.policy)
            elif isinstance(event, PolicyFailed) and event.policy in took_part:
                yield RecordedFailure(seq, event.policy, event.call, event.error)

    def _is_resync(self, seq: int) -> bool:
        """The engine reports its whole tree anew as a flush with nodes behind it that no request made."""
        following = self.session.events(seq, 1, ENGINE)
        return bool(following) and isinstance(following[0][1], NodeAdded) and not following[0][1].rid

    def _chunk_tokens(self) -> int:
        """The largest prefill batch there was, if any prompt took several; else SGLang's usual, or the largest if
        larger. Where batches are not told, one prefill is one batch."""
        begun: dict[str, tuple[int, int, int]] = {}
        batches: Counter[object] = Counter()
        chunked = False
        for seq, event in self._events(tags(PrefixMatched, PrefixInserted)):
            if isinstance(event, PrefixMatched):
                begun[event.rid] = (event.step, event.cached_tokens, event.prompt_tokens)
            elif isinstance(event, PrefixInserted) and event.rid in begun:
                step, reached, prompt_tokens = begun.pop(event.rid)
                batches[step or f"alone {seq}"] += min(event.total_tokens, prompt_tokens) - reached
                if event.total_tokens < prompt_tokens // self._page_size * self._page_size:
                    chunked = True
                    begun[event.rid] = (event.step, event.total_tokens, prompt_tokens)
        largest = max(batches.values(), default=0)
        return largest if chunked else max(largest, CHUNK_TOKENS)

    def _events(self, kinds: tuple[str, ...]) -> Iterator[Numbered]:
        return in_blocks(self.session, kinds, self.last_seq)
