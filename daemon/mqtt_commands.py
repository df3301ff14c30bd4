"""Commands as they arrive: validated, carried out once per id, answered always if there is anybody to answer.

Anything may arrive on the command topic. What is no command is counted and, if it can be told who asked, refused.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import msgspec
import structlog

from .wire import NODE_NAME, Command, CommandName, Reply, WireError, decode

MAX_COMMAND_BYTES = 64 << 10
MAX_HEAD_BYTES = 1 << 20
MAX_ID_CHARS = 128
MAX_RUNNING = 64
REMEMBERED = 1_000
ACCEPTED_AFTER_S = 0.2

_log: Any = structlog.get_logger(__name__)


class _Head(msgspec.Struct):
    """As much of a payload as is needed to refuse it."""

    id: str
    client: str
    name: Any = ""


class CommandDesk:
    """Takes payloads, runs `on_command` for each new command, and gives every answer to `reply(client, reply)`.

    The same id again gets the same answer, also while the first is still running. `bad`: payloads that were no
    command.
    """

    def __init__(self, on_command: Callable[[Command], Awaitable[Reply]], reply: Callable[[str, Reply], None]) -> None:
        self.bad = 0
        self._on_command = on_command
        self._reply = reply
        self._running: dict[str, asyncio.Task[Reply]] = {}
        self._done: OrderedDict[str, Reply] = OrderedDict()
        self._waiters: set[asyncio.Task[None]] = set()

    def receive(self, payload: Any, *, retained: bool) -> None:
        """One message from the command topic. Never raises and never waits."""
        if not payload:
            return
        # A retained command would be carried out again at each connection.
        if retained or not isinstance(payload, bytes):
            self._count_bad("a retained command is ignored" if retained else "not a payload")
            return
        head = _head(payload)
        try:
            command = _command(payload, head)
        except WireError as error:
            self._count_bad(str(error))
            if head is not None:
                self._reply(head.client, Reply(id=head.id, state="refused", detail=str(error)))
        else:
            self._take(command)

    async def close(self) -> None:
        """Cancel what still runs."""
        tasks: list[asyncio.Task[Any]] = [*self._waiters, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, command: Command) -> None:
        if command.id in self._done:
            self._reply(command.client, self._done[command.id])
        elif command.id not in self._running and (why := self._not_now(command)):
            self._reply(command.client, Reply(id=command.id, state="refused", detail=why))
        elif len(self._waiters) < 2 * MAX_RUNNING:
            if command.id not in self._running:
                self._running[command.id] = asyncio.create_task(self._carry_out(command))
            waiter = asyncio.create_task(self._answer(command.client, self._running[command.id], command.id))
            self._waiters.add(waiter)
            waiter.add_done_callback(self._waiters.discard)

    def _not_now(self, command: Command) -> str:
        late_s = (time.time_ns() - command.expires_ns) / 1e9
        if command.expires_ns and late_s > 0:
            return f"expired {late_s:.1f} s before it arrived (or the clocks of the two machines differ)"
        if len(self._running) >= MAX_RUNNING:
            return f"{MAX_RUNNING} commands are running already; try again"
        return ""

    async def _carry_out(self, command: Command) -> Reply:
        try:
            reply = msgspec.structs.replace(await self._on_command(command), id=command.id)
        except Exception as error:
            _log.exception("command failed", command=command.name, id=command.id)
            reply = Reply(id=command.id, state="refused", detail=f"{type(error).__name__}: {error}")
        finally:
            del self._running[command.id]
        self._done[command.id] = reply
        if len(self._done) > REMEMBERED:
            self._done.popitem(last=False)
        return reply

    async def _answer(self, client: str, task: asyncio.Task[Reply], command_id: str) -> None:
        await asyncio.wait({task}, timeout=ACCEPTED_AFTER_S)
        if not task.done():
            self._reply(client, Reply(id=command_id, state="accepted"))
            await asyncio.wait({task})
        if not task.cancelled():
            self._reply(client, task.result())

    def _count_bad(self, why: str) -> None:
        self.bad += 1
        # A flood of garbage is told 1, 2, 4, 8 ... times.
        if self.bad & (self.bad - 1) == 0:
            _log.warning("bad command", why=why, so_far=self.bad)


def _head(payload: bytes) -> _Head | None:
    """Who sent it, or None if that cannot be told or must not be answered."""
    if len(payload) > MAX_HEAD_BYTES:
        return None
    try:
        head: _Head = decode(_Head, payload, "command")
    except WireError:
        return None
    # The client becomes part of a topic: nobody may point an answer elsewhere.
    good = NODE_NAME.fullmatch(head.client) and 0 < len(head.id) <= MAX_ID_CHARS
    return head if good else None


def _command(payload: bytes, head: _Head | None) -> Command:
    """The command in a payload. Raises WireError saying why it is none."""
    if len(payload) > MAX_COMMAND_BYTES:
        raise WireError(f"command: {len(payload)} bytes, at most {MAX_COMMAND_BYTES} are taken")
    names = get_args(CommandName)
    if head is not None and head.name not in names:
        raise WireError(f"unknown command {str(head.name)[:64]!r}; known: {', '.join(names)}")
    command: Command = decode(Command, payload, "command")
    if head is None:
        raise WireError(f"command: `id` must have 1 to {MAX_ID_CHARS} characters, `client` be a plain name")
    return command
