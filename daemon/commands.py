"""A command from the bus or the command line, checked argument by argument, carried out, answered in words."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from radixdeck.policies.events import CommandReceived, SessionEnded
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.parameters import TunableError
from radixdeck.policies.primitives import Action
from radixdeck.policies.registry import PolicyError
from radixdeck.policies.residency import RunState

from .actions import Actions, expires_ns
from .clock import now_ns
from .engine.protocol import Order, SwitchPolicy, Tune
from .link import EngineLink, LinkError
from .orders import (
    Boost,
    NoArguments,
    OfAgent,
    OfAgentOrNode,
    OfPolicy,
    OfSession,
    OfTunable,
    Retain,
    Watch,
    recordable,
)
from .wire import Command, Reply

Outcome = tuple[bool, str, int]


class CommandRefused(Exception):
    """The command cannot be carried out; the message says why, in words."""


class Commands:
    """Turns commands into actions and orders."""

    def __init__(
        self,
        *,
        state: Callable[[], RunState],
        host: Callable[[], PolicyHost],
        actions: Actions,
        link: EngineLink,
        flush: Callable[[], Awaitable[None]],
        record: Callable[[CommandReceived], None],
        watch: Callable[[bool], None],
    ) -> None:
        self._state, self._host, self._actions, self._link = state, host, actions, link
        self._flush, self._record, self._watch = flush, record, watch

    async def handle(self, command: Command) -> Reply:
        """Carry out one command and say what became of it. Never raises."""
        try:
            ok, detail, tokens = await self._carry_out(command)
        except (CommandRefused, PolicyError, TunableError, LinkError) as error:
            ok, detail, tokens = False, str(error), 0
        except msgspec.ValidationError as error:
            ok, detail, tokens = False, f"{command.name}: arguments: {error}", 0
        if command.name != "watch":
            self._record(
                CommandReceived(
                    t_ns=now_ns(), id=command.id, name=command.name, by=command.by, ok=ok, detail=detail,
                    arguments=recordable(command.arguments),
                )
            )  # fmt: skip
        return Reply(id=command.id, state="done" if ok else "refused", detail=detail, tokens=tokens)

    async def _carry_out(self, command: Command) -> Outcome:
        match command.name:
            case "watch":
                self._watch(_read(command, Watch).resync)
                return True, "watching", 0
            case "policy":
                return await self._switch(command, _read(command, OfPolicy))
            case "tune":
                return await self._tune(command, _read(command, OfTunable))
            case "end_session":
                return self._end_session(_read(command, OfSession))
            case "flush":
                _read(command, NoArguments)
                await self._flush()
                return True, "cache emptied", 0
            case _:
                return await self._actions.carry_out(self._action(command), command.by)

    def _action(self, command: Command) -> Action:
        match command.name:
            case "retain":
                told = _read(command, Retain)
                action = Action("retain", told.agent, amount=told.tokens, ttl_s=told.half_life_s, why=command.why)
            case "boost":
                told = _read(command, Boost)
                action = Action("boost", told.agent, amount=told.amount, ttl_s=told.ttl_s, why=command.why)
            case "pin" | "unpin" | "evict":
                told = _read(command, OfAgentOrNode)
                if (told.agent == "") == (told.node < 0):
                    raise CommandRefused(f"{command.name}: give either agent or node")
                action = Action(command.name, told.agent, node=told.node, why=command.why)
            case "warm" | "quarantine" | "release":
                action = Action(command.name, _read(command, OfAgent).agent, why=command.why)
            case _:
                raise CommandRefused(f"{command.name}: not an action")
        self._check_known(action)
        return action

    def _check_known(self, action: Action) -> None:
        state = self._state()
        if action.agent and action.agent not in state.agents:
            raise CommandRefused(f"no agent {action.agent!r} in this run{_nearest(action.agent, state.agents)}")
        if action.node >= 0 and action.node not in state.nodes:
            raise CommandRefused(f"node {action.node} is not resident")

    async def _switch(self, command: Command, told: OfPolicy) -> Outcome:
        self._host().check_switch(told.name, told.enabled)
        order = SwitchPolicy(self._link.new_id(), told.name, told.enabled, command.by, command.why, expires_ns())
        return await self._ordered(order, f"{told.name} {'on' if told.enabled else 'off'}")

    async def _tune(self, command: Command, told: OfTunable) -> Outcome:
        self._host().check_tune(told.policy, told.name, told.value)
        order = Tune(self._link.new_id(), told.policy, told.name, told.value, command.by, command.why, expires_ns())
        return await self._ordered(order, f"{told.policy}.{told.name} = {told.value:g}")

    async def _ordered(self, order: Order, done: str) -> Outcome:
        answer = await self._link.order(order)
        return answer.ok, answer.detail or done, 0

    def _end_session(self, told: OfSession) -> Outcome:
        if told.session not in self._state().session_agent:
            raise CommandRefused(f"no live session {told.session!r} in this run")
        self._actions.tell(SessionEnded(t_ns=now_ns(), session=told.session, reason="operator"))
        return True, "ended", 0


def _read(command: Command, kind: type[Any]) -> Any:
    return msgspec.convert(command.arguments, kind)


def _nearest(name: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
