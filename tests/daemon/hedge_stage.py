"""A front with two engines on real sockets, and hedging on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from front_harness import Stack, Upstream, serving, stack

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.events import RequestHedged

CHAT = "/v1/chat/completions"
LATE_MS = 60.0
TUNED = {"least_samples": 5.0, "floor_ms": LATE_MS, "budget": 1.0}
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


class Staged:
    """A front with two engines. `first`, `second`: what they do; `door`: has hedging on."""

    def __init__(self, s: Stack, second: Upstream, door: Door) -> None:
        self.s, self.first, self.second, self.door = s, s.upstream, second, door

    async def learn(self, *, stream: bool = False) -> None:
        """Have the policy see what is usual of requests like these, as many as it takes: none of them can be late."""
        for _ in range(5):
            if stream:
                await self.text()
            else:
                assert (await self.s.post(CHAT, HI))[0] == 200
        self.first.requests.clear()
        self.second.requests.clear()
        self.s.reports.clear()

    async def text(self) -> str:
        """A stream to its end."""
        async with self.s.client.post(self.s.url + CHAT, json={**HI, "stream": True}) as answer:
            assert answer.status == 200
            return await answer.text()

    async def hedged(self) -> RequestHedged:
        return (await self.s.until(RequestHedged))[0]

    def asked(self) -> tuple[int, int]:
        """How often each engine was asked to generate."""
        return tuple(sum(path == CHAT for path, _, _ in one.requests) for one in (self.first, self.second))  # pyright: ignore[reportReturnType] - of two


@asynccontextmanager
async def staged(
    *on: str, tunables: dict[str, dict[str, float]] | None = None, **options: Any
) -> AsyncIterator[Staged]:
    told = {"hedging": TUNED} | (tunables or {})
    second = options.pop("other", None) or Upstream()
    second.words = ["Other", "wise"]
    async with serving(second):
        door = Door(DoorHost(["hedging", *on], told), now_ns)
        async with stack(second, door=door, **options) as s:
            yield Staged(s, second, door)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - of servers that tell nobody
            await asyncio.sleep(0.005)


def keyed(key: str) -> Upstream:
    made = Upstream()
    made.key = key
    return made
