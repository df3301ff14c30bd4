"""What the tests of a whole daemon share: who asks it, who watches it, and when it has come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
from news import News

from radixdeck.console.feed_messages import FeedMessage
from radixdeck.console.feed_mqtt import MqttFeed
from radixdeck.console.fleet_state import FleetState
from radixdeck.daemon.journal import Journal
from radixdeck.daemon.runtime import Daemon
from radixdeck.policies.events import AnyEvent
from radixdeck.policies.residency import RunState, resident_tokens

NODE = "whole"
ROLES = {
    "planner": "You are the planner. You break a task into steps and say who does each of them, in order. " * 6,
    "coder": "You are the coder. You write small correct functions with types and you never leave a stub. " * 6,
    "critic": "You are the critic. You look for what is wrong, missing or unclear and you name the line. " * 6,
}


class Watching:
    """A console without a screen: folds what the bus brings, as the app does."""

    def __init__(self, daemon: Daemon) -> None:
        self.fleet = FleetState()
        self.feed = MqttFeed(daemon.broker, NODE)
        self._news = News()

    async def __aenter__(self) -> Watching:
        await self.feed.__aenter__()
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await self.feed.__aexit__(None, None, None)

    async def _read(self) -> None:
        message: FeedMessage
        async for message in self.feed:
            self.fleet.apply(message)
            self._news.come()

    async def until(self, holds: Callable[[FleetState], bool], timeout_s: float = 30) -> None:
        await self._news.until(lambda: holds(self.fleet), timeout_s)

    async def caught_up(self, daemon: Daemon) -> RunState:
        """The console's state once it has everything the daemon has; the engine is idle."""
        await self.until(lambda fleet: NODE in fleet.nodes and fleet.nodes[NODE].seq == daemon.journal.seq)
        return self.fleet.nodes[NODE].run


class Facts:
    """All facts that become part of the run from now on, but for the orders themselves."""

    def __init__(self, journal: Journal) -> None:
        self.told: list[AnyEvent] = []
        self._news = News()
        self._append = journal.append
        journal.append = self._note  # type: ignore[method-assign]

    def _note(self, event: AnyEvent) -> None:
        self._append(event)
        self.told.append(event)
        self._news.come()

    async def first(self, kind: type[Any], wanted: Callable[[Any], bool]) -> Any:
        """The first fact of this kind that is wanted, as soon as it is there."""

        def found() -> Any:
            return next((fact for fact in self.told if isinstance(fact, kind) and wanted(fact)), None)

        return await self._news.until(found, 30)


async def ask(client: openai.AsyncOpenAI, agent: str, session: str, text: str, **more: Any) -> Any:
    return await client.chat.completions.create(
        model="default",
        messages=[{"role": "system", "content": ROLES[agent]}, {"role": "user", "content": text}],
        extra_headers={"x-agent-id": agent, "x-session-id": session},
        **{"max_tokens": 4, **more},
    )


async def step(client: openai.AsyncOpenAI, sessions: int = 2, tag: str = "") -> None:
    for number in range(sessions):
        for agent in ROLES:
            await ask(client, agent, f"s{tag}{number}", f"task {tag}{number}: sort a list of numbers")


async def settled(daemon: Daemon, condition: Callable[[RunState], bool], timeout_s: float = 60) -> RunState:
    """Wait until the daemon's own state says so: facts come over a socket, so not at once."""
    async with asyncio.timeout(timeout_s):
        while not condition(daemon.state):  # noqa: ASYNC110 - the state has no event to wait on
            await asyncio.sleep(0.02)
    return daemon.state


def idle(state: RunState) -> bool:
    return (
        state.running == 0
        and state.waiting == 0
        and all(r.finished_ns for r in state.requests.values() if r.arrived_ns)
    )


def all_owned(state: RunState) -> bool:
    """The fold has every token of the pool, by the engine's own count, which comes once a second and when it rests."""
    return resident_tokens(state) == state.used_tokens


async def flush(daemon: Daemon) -> None:
    """Empty the cache, which SGLang does as soon as it has done with the last request."""
    async with asyncio.timeout(10):
        while (await daemon.command("flush")).state != "done":  # noqa: ASYNC110 - it has to be asked again
            await asyncio.sleep(0.02)
    await settled(daemon, lambda s: not s.nodes, timeout_s=10)
