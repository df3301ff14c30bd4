"""Carrying out an action: on the engine's tree, on the operator's scores, or as a warm-up through the front.

Every action ends as one ActionTaken event in the engine stream, so policies, recording and console learn the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from radixdeck.policies.events import ActionTaken, EngineEvent
from radixdeck.policies.primitives import PREEMPTED, Action

from .clock import now_ns
from .engine.protocol import Act, Observe
from .front import Front
from .front_errors import FrontError
from .link import ORDER_TIMEOUT_S, EngineLink, LinkError

_log = logging.getLogger("radixdeck.actions")
ON_TREE = frozenset({"pin", "unpin", "retain", "evict", "boost"})


class Actions:
    """Carries out actions one by one; at most one warm-up runs at a time and real work takes it back."""

    def __init__(self, link: EngineLink, front: Front, append: Callable[[EngineEvent], None]) -> None:
        self._link = link
        self._front = front
        self._append = append
        self._warming: asyncio.Task[int] | None = None

    @property
    def warming(self) -> bool:
        return self._warming is not None

    def preempt(self) -> None:
        """Real work arrived: give the engine back at once. Closing the connection aborts the prefill."""
        if self._warming is not None:
            self._warming.cancel()

    async def carry_out(self, action: Action, by: str) -> tuple[bool, str, int]:
        """(ok, detail, tokens). Never raises; a refusal says why."""
        if action.kind in ON_TREE:
            return await self._on_tree(action, by)
        if action.kind == "warm":
            return await self._warm(action, by)
        # The front enforces these, so they hold from now on, whether an engine is there or not.
        self._append(self._taken(action, by, ok=True, result="done"))
        return True, "done", 0

    def pass_over(self, action: Action, by: str) -> None:
        """Real work came before it: whoever wanted it learns that it is not done."""
        self.tell(self._taken(action, by, ok=False, result=PREEMPTED))

    def tell(self, fact: EngineEvent) -> None:
        """Put a fact into the engine stream, or straight into the run while there is no engine to order it."""
        if not self._link.send(Observe("", [fact])):
            self._append(fact)

    async def _on_tree(self, action: Action, by: str) -> tuple[bool, str, int]:
        try:
            answer = await self._link.order(Act(self._link.new_id(), action, by, expires_ns()))
        except LinkError as error:
            return False, str(error), 0
        return answer.ok, answer.detail or "done", answer.tokens

    async def _warm(self, action: Action, by: str) -> tuple[bool, str, int]:
        if self._warming is not None:
            return False, "another warm-up is running", 0
        self._warming = asyncio.create_task(self._front.warm(action.agent, action.session, int(action.amount)))
        ok, detail, tokens = False, PREEMPTED, 0
        try:
            tokens = await self._warming
            ok, detail = True, f"{tokens} tokens warm"
        except FrontError as error:
            detail = str(error)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        except Exception as error:  # what is warmed was written by callers: whatever it does, the daemon goes on
            _log.exception("unexpected error while warming %r", action.agent)
            detail = f"internal error: {type(error).__name__}"
        finally:
            self._warming = None
        self.tell(self._taken(action, by, ok=ok, result=detail, tokens=tokens))
        return ok, detail, tokens

    def _taken(self, action: Action, by: str, *, ok: bool, result: str, tokens: int = 0) -> ActionTaken:
        return ActionTaken(
            t_ns=now_ns(),
            id=self._link.new_id(),
            kind=action.kind,
            agent=action.agent,
            node=action.node,
            amount=action.amount,
            ttl_s=action.ttl_s,
            by=by,
            why=action.why,
            ok=ok,
            result=result,
            tokens=tokens,
            session=action.session,
        )


def expires_ns() -> int:
    """When an order that is given now has failed for whoever gave it, UTC nanoseconds."""
    return now_ns() + int(ORDER_TIMEOUT_S * 1e9)
