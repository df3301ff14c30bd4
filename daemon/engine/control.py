"""Carrying out the daemon's orders on the engine's tree, between two steps of the scheduler."""

# SGLang ships no type stubs.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from radixdeck.policies.events import (
    NO_NODE,
    ActionTaken,
    AnchorMeasured,
    AnswerGiven,
    EngineEvent,
    NextAgentHinted,
    PolicyFailed,
    PolicySwitched,
    SessionEnded,
    ToolCalled,
    TunableChanged,
)
from radixdeck.policies.host import PolicyError, TunableError
from radixdeck.policies.operator import PINNED_WITH_AGENT
from radixdeck.policies.primitives import Action
from radixdeck.policies.registry import cause_of_order
from radixdeck.policies.tree.observer import Observer
from radixdeck.policies.tree.ownership import MAX_TOUCHED, Owned

from .protocol import Act, Answer, Observe, Order, Snapshot, SwitchPolicy, Tune

ON_SCORES = frozenset({"pin", "unpin", "retain", "boost"})
FACTS = (ToolCalled, AnswerGiven, SessionEnded, NextAgentHinted, AnchorMeasured, ActionTaken, PolicyFailed)
EVERYTHING = 1 << 60


class Refused(Exception):
    """An order that is not carried out. The message says why, naming the thing."""


class Control:
    """`cache`: an AgentRadixCache."""

    def __init__(self, cache: Any, observer: Observer) -> None:
        self._cache = cache
        self._observer = observer
        self._stream = observer.stream
        self._pins: dict[int, ActionTaken] = {}

    def obey(self, order: Order) -> Answer:
        """Carry out an order. Never raises: a refusal or a failure is an answer too."""
        try:
            match order:
                case Observe():
                    return self._observe(order)
                case Act() | SwitchPolicy() | Tune() if 0 < order.expires_ns < self._stream.now_ns():
                    raise Refused("the order came too late: whoever gave it was told that it failed")
                case Act():
                    return self._act(order)
                case SwitchPolicy():
                    return self._switch(order)
                case Tune():
                    return self._tune(order)
                case Snapshot():
                    return self._snapshot(order)
        except (Refused, PolicyError, TunableError) as error:
            return Answer(order.id, False, str(error))
        except Exception as error:
            self._observer.report_failure("obey", error)
            return Answer(order.id, False, f"the engine failed to carry it out: {type(error).__name__}: {error}")

    def _snapshot(self, order: Snapshot) -> Answer:
        """The tree anew; readers forget their nodes first, so the pins of nodes are said again."""
        tokens = self._observer.snapshot(self._cache.tree_core.root_node)
        for pin in self._pins.values():
            if pin.node in self._observer.ownership.touched:
                now, step = self._stream.now_ns(), self._observer.step
                self._stream.emit(msgspec.structs.replace(pin, t_ns=now, step=step))
        return Answer(order.id, True, tokens=tokens)

    def _observe(self, order: Observe) -> Answer:
        for event in order.events:
            if not isinstance(event, FACTS):
                raise Refused(f"{type(event).__name__} is not a fact that the daemon may report")
        for event in order.events:
            self._learn(event)
            step = {"step": self._observer.step} if "step" in event.__struct_fields__ else {}
            self._stream.emit(msgspec.structs.replace(event, t_ns=self._stream.now_ns(), **step))
        return Answer(order.id, True)

    def _learn(self, event: EngineEvent) -> None:
        match event:
            case SessionEnded():
                self._observer.close_session(event.session)
            case AnchorMeasured() if event.exact and event.agent:
                self._observer.ownership.set_anchor(event.agent, event.tokens)
            case _:
                pass

    def _switch(self, order: SwitchPolicy) -> Answer:
        self._stream.host.check_switch(order.policy, order.enabled)
        self._stream.emit(
            PolicySwitched(
                t_ns=self._stream.now_ns(), policy=order.policy, enabled=order.enabled, by=order.by, why=order.why
            )
        )
        return Answer(order.id, True)

    def _tune(self, order: Tune) -> Answer:
        self._stream.host.check_tune(order.policy, order.name, order.value)
        self._stream.emit(
            TunableChanged(
                t_ns=self._stream.now_ns(), policy=order.policy, name=order.name, value=order.value, by=order.by,
                why=order.why,
            )
        )  # fmt: skip
        return Answer(order.id, True)

    # ---- actions ---------------------------------------------------------------------------------------------------

    def _act(self, order: Act) -> Answer:
        action = order.action
        singled_out = self._observer.ownership.touched
        self._pins = {node: pin for node, pin in self._pins.items() if node in singled_out}  # others are gone
        try:
            tokens = self._carry_out(action, order.by)
        except Refused as refused:
            self._say_taken(order, ok=False, result=str(refused))
            return Answer(order.id, False, str(refused))
        taken = self._say_taken(order, ok=True, result="done", tokens=tokens)
        if action.node != NO_NODE:
            self._single_out(taken)
        return Answer(order.id, True, tokens=tokens)

    def _carry_out(self, action: Action, by: str) -> int:
        if action.kind not in ON_SCORES and action.kind != "evict":
            raise Refused(f"{action.kind} is not done in the engine")
        if not self._observer.acts:
            raise Refused(f"{action.kind}: this engine runs on several ranks, where the cache keeps SGLang's own order")
        pins_agent = action.kind == "pin" and action.node == NO_NODE
        if pins_agent:
            self._cache.split_anchor(action.agent)
        targets = self._targets(action)
        if action.kind == "evict":
            return self._evict(targets, by)
        return sum(owned.tokens for owned in targets if not pins_agent or owned.role in PINNED_WITH_AGENT)

    def _targets(self, action: Action) -> list[Owned]:
        """The nodes an action is about, leaves first. Raises Refused for an agent or node that is not known."""
        ownership = self._observer.ownership
        if action.node != NO_NODE:
            owned = ownership.nodes.get(action.node)
            if owned is None or not owned.on_device:
                raise Refused(f"no node {action.node} in the cache")
            if action.kind == "evict":
                return self._below(owned)
            if action.kind != "unpin" and action.node not in self._pins and len(self._pins) >= MAX_TOUCHED:
                raise Refused(f"{MAX_TOUCHED} nodes are pinned already: unpin one first, or pin agents")
            return [owned]
        if not action.agent:
            raise Refused(f"{action.kind} needs an agent or a node")
        if not ownership.knows(action.agent):
            raise Refused(f"no agent {action.agent!r} known to the engine")
        mine = [owned for owned in ownership.nodes.values() if action.agent in owned.agents and owned.on_device]
        if action.kind == "evict":
            mine = [owned for owned in mine if len(owned.agents) == 1 and owned.node not in self._pins]
        return sorted(mine, key=lambda owned: -owned.start)

    def _below(self, owned: Owned) -> list[Owned]:
        """The node and everything below it, leaves first; other nodes that are pinned stay, and what is above them."""
        found: list[Any] = [self._cache.tree_core.node_by_id(owned.node)]
        for node in found:
            found += node.children.values()
        nodes = self._observer.ownership.nodes
        kept = self._pins.keys() - {owned.node}
        return [nodes[node.id] for node in reversed(found) if node.id in nodes and node.id not in kept]

    def _evict(self, targets: list[Owned], by: str) -> int:
        """Evict what is not in use; what is locked, or lies above something locked, stays."""
        from sglang.srt.mem_cache.base_prefix_cache import EvictParams

        observer = self._observer
        observer.forced = deque(owned.node for owned in targets)
        observer.cause = cause_of_order(by)
        try:
            result: Any = self._cache.evict(EvictParams(num_tokens=EVERYTHING))
        finally:
            observer.forced, observer.cause = None, "allocation"
        return result.num_tokens_evicted

    def _single_out(self, taken: ActionTaken) -> None:
        """A node the operator scored gets its own place in the order."""
        ownership = self._observer.ownership
        if taken.kind == "pin":
            self._pins[taken.node] = taken
        elif taken.kind == "unpin":
            self._pins.pop(taken.node, None)
        if taken.kind in ON_SCORES:
            displaced = ownership.touch(taken.node, self._pins)
            if displaced is not None:
                self._observer.reclassify(displaced)
        self._observer.reclassify(taken.node)

    def _say_taken(self, order: Act, *, ok: bool, result: str, tokens: int = 0) -> ActionTaken:
        action = order.action
        taken = ActionTaken(
            t_ns=self._stream.now_ns(), id=order.id, kind=action.kind, agent=action.agent, node=action.node,
            amount=action.amount, ttl_s=action.ttl_s, by=order.by, why=action.why, ok=ok, result=result, tokens=tokens,
            step=self._observer.step,
        )  # fmt: skip
        self._stream.emit(taken)
        return taken
