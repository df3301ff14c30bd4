"""The policies of a recorded run, thinking again what they thought: a host that observes the recorded engine stream.

Policies are pure, so the same events give the same scores and predictions as they did in the live run.
"""

from __future__ import annotations

from typing import Any, cast, get_args

from radixdeck.daemon.policies_table import policies_table
from radixdeck.daemon.wire import PoliciesTable
from radixdeck.policies.events import EngineEvent
from radixdeck.policies.host import PolicyError, PolicyHost, TunableError
from radixdeck.policies.residency import RunState
from radixdeck.storage.errors import SessionError
from radixdeck.storage.session import Session

MAX_EVENTS = 200_000
SLICE_EVENTS = 250
"""Observed at a time, some 10 ms, so that a screen stays responsive."""
_ENGINE_EVENTS: tuple[type[Any], ...] = get_args(EngineEvent)


class Twin:
    """Follows a reader of `session` to the event it stands at, a slice at a time.

    It begins at the last start of the engine, or MAX_EVENTS before the place it is wanted at if that is later.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seq = -1
        self._host: PolicyHost | None = None
        self._begun = False

    def is_behind(self, seq: int) -> bool:
        """Whether `follow` has something to do before this is the host after event `seq`."""
        return not self._begun or self._seq != seq

    def follow(self, seq: int) -> None:
        """One slice nearer to event `seq`; back to a start of the engine if `seq` is in the past. Where the recording
        is damaged there is no host, until it begins again."""
        try:
            self._follow(seq)
        except SessionError:
            self._host, self._seq, self._begun = None, seq, True

    def _follow(self, seq: int) -> None:
        if not self._begun or seq < self._seq or seq - self._seq > MAX_EVENTS:
            self._begin(seq)
        found = self._session.events(self._seq, min(SLICE_EVENTS, seq - self._seq))
        for number, event in found:
            if number <= seq and self._host is not None and isinstance(event, _ENGINE_EVENTS):
                self._host.observe(cast(EngineEvent, event))
        self._seq = min(seq, found[-1][0]) if found else seq

    def table(self, run: RunState, now_ns: int) -> PoliciesTable | None:
        """What the policies think of `run` at `now_ns`; None if this installation lacks one of them."""
        return policies_table(self._host, run, now_ns / 1e9) if self._host is not None else None

    def _begin(self, seq: int) -> None:
        started = self._session.next_of(seq + 1, ("engine_started",), backwards=True)
        first = self._session.first_seq if started is None else started
        first = max(first, seq - MAX_EVENTS)
        self._host = _host_at(self._session, first)
        self._seq, self._begun = first - 1, True


def _host_at(session: Session, seq: int) -> PolicyHost | None:
    """A host with the switches and tunables in force at event `seq`: those of the configuration, as changed since. What
    calls cost is not measured: it would not be what they cost in the run."""
    _, run = session.state_at(session.arrived_ns(seq))
    configured = cast("dict[str, Any]", session.info.config.get("policy") or {})
    enabled = [name for name in configured.get("enabled", ()) if run.policies.get(name, True)]
    enabled += [name for name, on in run.policies.items() if on and name not in enabled]
    tunables = cast("dict[str, dict[str, float]]", configured.get("tunables") or {})
    merged = {policy: {**tunables.get(policy, {}), **run.tunables.get(policy, {})}
              for policy in dict.fromkeys((*tunables, *run.tunables))}  # fmt: skip
    try:
        return PolicyHost(enabled, merged, timer=lambda: 0.0)
    except (PolicyError, TunableError):
        return None
