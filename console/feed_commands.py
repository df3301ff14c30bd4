"""Commands that wait for their answer. They survive lost connections and brokers that forget: an unanswered one is sent
again, which is safe because the daemon carries out each id once.
"""

from __future__ import annotations

import asyncio
import getpass
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from radixdeck.daemon.wire import Command, CommandName, Reply, topic

from .words import printable

SEND_AGAIN_S = 0.5


class Pending:
    """One command on its way: where to publish it, its payload, and the reply to come."""

    def __init__(self, where: str, payload: bytes) -> None:
        self.where = where
        self.payload = payload
        self.accepted = False
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()


def who() -> str:
    """Who gives orders here, as 'user@host'; 'operator' where the user has no name."""
    try:
        return printable(f"{getpass.getuser()}@{socket.gethostname()}")
    except (KeyError, ImportError, OSError):
        return "operator"


def new_command(
    client: str,
    name: CommandName,
    arguments: dict[str, Any] | None = None,
    *,
    by: str = "",
    why: str = "",
    expires_ns: int = 0,
) -> Command:
    """A command with a fresh id; without `by` whoever runs this gives it."""
    return Command(
        id=uuid.uuid4().hex,
        client=client,
        name=name,
        by=by or who(),
        why=why,
        expires_ns=expires_ns,
        arguments=arguments or {},
    )


class Commands:
    """The commands in flight. `send` publishes one if it can, and may fail silently."""

    def __init__(self, client: str, send: Callable[[Pending], Awaitable[None]]) -> None:
        self._client = client
        self._send = send
        self._pending: dict[str, Pending] = {}

    async def ask(
        self, node: str, name: CommandName, arguments: dict[str, Any] | None, why: str, by: str, timeout_s: float
    ) -> Reply:
        """Send and wait until done or refused; no answer in time is a refused Reply as well."""
        expires_ns = time.time_ns() + int(timeout_s * 1e9)
        command = new_command(self._client, name, arguments, by=by, why=why, expires_ns=expires_ns)
        pending = self._pending[command.id] = Pending(topic(node, "command"), msgspec.json.encode(command))
        try:
            async with asyncio.timeout(timeout_s):
                while not pending.reply.done():
                    if not pending.accepted:
                        await self._send(pending)
                    await asyncio.wait({pending.reply}, timeout=SEND_AGAIN_S)
                return pending.reply.result()
        except TimeoutError:
            detail = "accepted, but not done" if pending.accepted else "no answer"
            return Reply(id=command.id, state="refused", detail=f"{detail} within {timeout_s:g} s")
        finally:
            del self._pending[command.id]

    def take(self, reply: Reply) -> None:
        """Match a reply to its command; one that nobody waits for is ignored."""
        pending = self._pending.get(reply.id)
        if pending is None:
            return
        if reply.state == "accepted":
            pending.accepted = True
        elif not pending.reply.done():
            pending.reply.set_result(reply)
