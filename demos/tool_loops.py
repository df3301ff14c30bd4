"""Agents that call tools in loops, made up by seed: each calls, thinks about what it got, and calls again.

Some do what agents do (`LOOPS`): list and read one file after the other; search, read what was found, ask who changed
it, perhaps change it. Others (`WANDERING`) call anything about anything, so that nothing of it can be foreseen.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

FOLDERS, TEXTS = 60, 200


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call as its caller saw it; times on the caller's clock. `answer`: what came back."""

    agent: str
    tool: str
    about: str
    began_s: float
    ended_s: float
    answer: Any = None

    @property
    def wait_s(self) -> float:
        return self.ended_s - self.began_s


class Over(Exception):
    """The agent has made all its calls."""


class Agent:
    """Makes `steps` calls. `ask` makes one and returns its result; `think_s`: mean time between two."""

    def __init__(
        self, name: str, chance: random.Random, steps: int, think_s: float, ask: Callable[..., Awaitable[Any]]
    ) -> None:
        self.name, self.chance = name, chance
        self.calls: list[Call] = []
        self._steps, self._think_s, self._ask = steps, think_s, ask

    async def call(self, tool: str, **arguments: str) -> Any:
        """One call, after having thought. Raises Over."""
        if len(self.calls) >= self._steps:
            raise Over
        await asyncio.sleep(self._think_s * self.chance.uniform(0.2, 1.8))
        began_s = time.perf_counter()
        answer = await self._ask(self.name, tool, arguments)
        (about,) = arguments.values()
        self.calls.append(
            Call(
                agent=self.name, tool=tool, about=about, began_s=began_s, ended_s=time.perf_counter(), answer=answer
            )
        )  # fmt: skip
        return answer

    async def run(self, task: Callable[[Agent], Awaitable[None]]) -> list[Call]:
        """One task after the other, until all calls are made."""
        try:
            while True:
                await task(self)
        except Over:
            return self.calls


async def reads_on(agent: Agent) -> None:
    """Lists a folder and reads its files in turn, until one is what was looked for."""
    for path in await agent.call("list_dir", folder=f"dir-{agent.chance.randrange(FOLDERS)}"):
        await agent.call("read_file", path=path)
        if agent.chance.random() < 0.2:
            return


async def looks_up(agent: Agent) -> None:
    """Searches, reads what was found, mostly the first, and mostly asks who changed it; now and then changes it."""
    found = await agent.call("search", text=f"word-{agent.chance.randrange(TEXTS)}")
    path = found[0 if agent.chance.random() < 0.85 else 1]["path"]
    await agent.call("read_file", path=path)
    if agent.chance.random() < 0.7:
        await agent.call("blame", path=path)
    if agent.chance.random() < 0.3:
        await agent.call("edit", path=path)


async def wanders(agent: Agent) -> None:
    """Anything about anything."""
    chance = agent.chance
    folder, text = f"dir-{chance.randrange(FOLDERS)}", f"word-{chance.randrange(TEXTS)}"
    path = f"{folder}/{chance.randrange(3)}.py"
    tool = chance.choice(("list_dir", "read_file", "read_file", "search", "blame"))
    told = {"list_dir": {"folder": folder}, "search": {"text": text}}.get(tool, {"path": path})
    await agent.call(tool, **told)


LOOPS = (reads_on, looks_up, reads_on, looks_up)
WANDERING = (wanders, wanders, wanders, wanders)


def wrong_answers(calls: Sequence[Call]) -> list[Call]:
    """Files that were read as they cannot have been at a moment of the call, by how often they had been changed."""
    return [call for call in calls if call.tool == "read_file" and not _is_right(call, calls)]


def _is_right(call: Call, calls: Sequence[Call]) -> bool:
    edits = [one for one in calls if one.tool == "edit" and one.about == call.about]
    least = sum(one.ended_s <= call.began_s for one in edits)
    most = sum(one.began_s <= call.ended_s for one in edits)
    return call.answer in [f"{edited} edits of {call.about}" for edited in range(least, most + 1)]
