"""What an operator can order, declared once: the key, what it needs, what it asks. No screens."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from radixdeck.daemon.wire import CommandName, Reply
from radixdeck.policies.events import NO_NODE

from .words import tokens


class Target(NamedTuple):
    """What an order is about: an agent, or one of its cache nodes, and which orders on it are in force now."""

    agent: str = ""
    node: int = NO_NODE
    pinned: bool = False
    quarantined: bool = False
    retained: bool = False

    @property
    def words(self) -> str:
        return f"node {self.node}" if self.node != NO_NODE else self.agent


class Act(NamedTuple):
    """One order. `undo`: what the same key orders once `undone_by` is true of the target, with `undo_arguments` and
    called `undo_words`. `on_node`: works on a single cache node too. `asks`: the question for its amount, with `amount`
    as the proposed answer."""

    key: str
    name: CommandName
    doc: str
    on_node: bool = False
    undo: CommandName | None = None
    undone_by: str = ""
    undo_arguments: tuple[tuple[str, Any], ...] = ()
    undo_words: str = ""
    asks: str = ""
    amount: float = 0.0
    argument: str = ""


ACTS: tuple[Act, ...] = (
    Act("w", "warm", "prefill the agent's anchor now, ahead of its next dispatch"),
    Act("p", "pin", "never evict while anything else can go; again to unpin", on_node=True, undo="unpin",
        undone_by="pinned"),
    Act("t", "retain", "hold the agent's tokens with a bias that decays within a token budget; again to stop",
        undo="retain", undone_by="retained", undo_arguments=(("tokens", -1),), undo_words="stop retaining"),
    Act("e", "evict", "drop what is not in use", on_node=True),
    Act("b", "boost", "add to the agent's score for a while", asks="Add how much to the score of {}?", amount=1.0,
        argument="amount"),
    Act("Q", "quarantine", "refuse the agent's requests; again to release", undo="release", undone_by="quarantined"),
)  # fmt: skip


class Order(NamedTuple):
    """A command ready to be sent, and what it is called in words. `why`: what the console knows of its reason."""

    name: CommandName
    arguments: dict[str, Any]
    words: str
    why: str = ""


class NoTarget(ValueError):
    """There is nothing selected that the order could be about. The message says what to do."""


def order(act: Act, target: Target | None, amount: float | None = None) -> Order:
    """The command that `act` means for `target`. Raises NoTarget if it needs an agent and none is selected."""
    if target is None or (not target.agent and not (act.on_node and target.node != NO_NODE)):
        raise NoTarget(f"{act.name}: select {'an agent or a node' if act.on_node else 'an agent'} first")
    undone = bool(act.undo and getattr(target, act.undone_by))
    name = act.undo if act.undo and undone else act.name
    called = act.undo_words if undone and act.undo_words else name
    arguments: dict[str, Any]
    if act.on_node and target.node != NO_NODE:
        arguments, words = {"node": target.node}, f"{called} {target.words}"
    else:
        arguments, words = {"agent": target.agent}, f"{called} {target.agent}"
    arguments |= dict(act.undo_arguments) if undone else {}
    if act.argument:
        arguments[act.argument] = act.amount if amount is None else amount
        words += f" by {arguments[act.argument]:+g}"
    return Order(name, arguments, words)


def outcome(ordered: Order, reply: Reply) -> tuple[str, bool]:
    """What became of an order in words, and whether it was done."""
    if reply.state == "refused":
        return refused(ordered.words, reply.detail), False
    touched = f", {tokens(reply.tokens)}" if reply.tokens else ""
    detail = f" ({reply.detail})" if reply.detail not in ("", "done") else ""
    return f"{ordered.words}: done{touched}{detail}", True


def refused(words: str, why: str) -> str:
    """That something was not done, and why."""
    return f"{words} refused: {why or 'no reason given'}"


def parse_amount(text: str) -> float:
    """A number a person typed. Raises ValueError with words."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value
