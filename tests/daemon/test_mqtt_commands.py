"""What becomes of commands, without a broker: each is answered, once, and not too many run at once."""

from __future__ import annotations

import asyncio

import msgspec

from radixdeck.daemon.mqtt_commands import CommandDesk
from radixdeck.daemon.wire import Command, Reply


def order(name: str) -> bytes:
    return msgspec.json.encode({"id": name, "client": "me", "name": "warm"})


async def test_only_the_last_thousand_answers_are_remembered() -> None:
    answers: asyncio.Queue[str] = asyncio.Queue()
    calls: list[str] = []

    async def handler(command: Command) -> Reply:
        calls.append(command.id)
        return Reply(id=command.id, state="done")

    desk = CommandDesk(handler, lambda client, reply: answers.put_nowait(reply.id))
    for name in [*(f"c{number}" for number in range(1_001)), "c1000", "c0"]:
        desk.receive(order(name), retained=False)
        assert await answers.get() == name
    assert (calls.count("c1000"), calls.count("c0")) == (1, 2)
    await desk.close()


async def test_too_many_at_once_are_refused_not_queued() -> None:
    answers: list[Reply] = []
    never = asyncio.Event()

    async def handler(command: Command) -> Reply:
        await never.wait()
        return Reply(id=command.id, state="done")

    desk = CommandDesk(handler, lambda client, reply: answers.append(reply))
    for number in range(100):
        desk.receive(order(f"c{number}"), retained=False)
    assert [a.state for a in answers] == ["refused"] * 36
    assert "running already" in answers[0].detail
    await desk.close()
