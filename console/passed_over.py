"""What operators did in the stretch of a recording that a replay passes over when it goes ahead. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radixdeck.policies.events import AnyEvent
from radixdeck.policies.residency import RunState

if TYPE_CHECKING:
    from radixdeck.storage.session import Session

KINDS = (
    "action_taken",
    "cache_flushed",
    "command_received",
    "engine_started",
    "policy_switched",
    "tunable_changed",
)
"""All that the list of what operators did is made of."""


def orders_between(session: Session, after_seq: int, upto_seq: int, run: RunState) -> list[tuple[int, AnyEvent]]:
    """The events of KINDS with numbers above `after_seq` and up to `upto_seq`, oldest first, without what a policy of
    this `run` did of itself."""
    if after_seq >= upto_seq:
        return []
    found = session.events(after_seq, upto_seq - after_seq, KINDS)
    return [(seq, event) for seq, event in found if seq <= upto_seq and not _is_of_policy(event, run)]


def _is_of_policy(event: AnyEvent, run: RunState) -> bool:
    by = getattr(event, "by", "")
    return by in run.policies and by != "operator"
