"""Which orders somebody has to mean: one rule for every key, every click and every line of the palette. Pure.

Asked about is what no key takes back, what refuses requests, what lets those through that a policy holds back, and
several orders at once. What `U` takes back by itself, as a tunable, a pin or another eviction policy, is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radixdeck.policies.events import NO_NODE
from radixdeck.policies.residency import RunState

from .commands import Order, Target
from .eviction import eviction_words

GUARDS = ("safety", "fairness", "admission")
"""Hold others back, also where they had no reason to so far; of any other policy the run tells."""
EVICTED = "What goes must be computed again when it is asked for next. What a request uses now stays."
FLUSHED = "Every agent computes its prompt again. Nothing brings the cache back."
QUARANTINED = "Its requests will be refused with an error until it is released."


class Question(NamedTuple):
    """What is asked, and what follows from a yes."""

    asked: str
    consequence: str


def question_of(
    orders: Sequence[Order], run: RunState, *, called: str = "", lost: str = "", node: str = ""
) -> Question | None:
    """What has to be asked before these are given, None where they can be given at once. `called`: what they are
    together; `lost`: what ends with them and does not come back; `node`: the daemon they are for, where there are
    several."""
    follows = [words for one in orders if (words := _consequence(one, run))]
    follows += [lost] if lost else []
    if len(orders) < 2 and not follows:
        return None
    listed = [one.words for one in orders] if len(orders) > 1 else []
    asked = called or (orders[0].words if len(orders) == 1 else f"{len(orders)} orders at once")
    where = f" on {node}" if node else ""
    return Question(f"{asked}{where}?", "\n".join([*listed, *follows]))


def _consequence(ordered: Order, run: RunState) -> str:
    """Why an order by itself has to be meant, '' where it does not."""
    arguments = ordered.arguments
    match ordered.name:
        case "evict":
            target = Target(arguments.get("agent", ""), arguments.get("node", NO_NODE))
            return f"{eviction_words(run, target)}\n{EVICTED}"
        case "flush":
            return FLUSHED
        case "quarantine":
            return QUARANTINED
        case "policy" if not arguments["enabled"]:
            return _let_through(arguments["name"], run)
        case _:
            return ""


def _let_through(policy: str, run: RunState) -> str:
    """What ends with a policy that holds others back, '' for one that does not."""
    said = run.rulings.get(policy)
    if said is not None and said.held + said.refused:
        done = f"{policy} held {said.held:,} and refused {said.refused:,} requests in this run."
    elif policy in GUARDS:
        done = f"{policy} is there to hold others back; in this run it had no reason to."
    else:
        return ""
    return f"{done} While it is off nothing of that happens, and who waits because of it comes in."
