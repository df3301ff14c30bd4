"""What comes with a seek in a recording: the last events of before, and what operators did in what is passed over."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from radixdeck.policies.events import AnyEvent
from radixdeck.policies.residency import RunState
from radixdeck.storage.errors import SessionError

from .feed_messages import FeedMessage, NodeEvents, NodeOrders

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


def history(session: Session, left_seq: int, after_seq: int, upto_seq: int, run: RunState) -> list[FeedMessage]:
    """What to tell behind the keyframe after event `upto_seq` to whoever was at `left_seq`: the events above
    `after_seq`, and before them the orders among those that are passed over."""
    told: list[FeedMessage] = []
    with suppress(SessionError):  # the state may be readable where what led to it is not
        passed = orders_between(session, left_seq, after_seq, run)
        told += [NodeOrders(session.info.node, session.info.run, passed)] if passed else []
        before = [pair for pair in session.events(after_seq, upto_seq - after_seq) if pair[0] <= upto_seq]
        told += [NodeEvents(session.info.node, session.info.run, after_seq + 1, upto_seq, before)] if before else []
    return told


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
