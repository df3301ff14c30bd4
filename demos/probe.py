"""Times the same requests at two servers in turns, an engine and what stands before it, from a process of its own.

Requests are short and their prompts cached, so that what the front adds is not lost in the engine's own time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from openai import AsyncOpenAI

from .apart import DriveError
from .prompts import remark, system_prompt, tool_schemas

PROMPT_TOKENS = 400
PAUSE_S = 0.05
"""Between an answer and the next request: what a server still does after an answer is not the other one's delay."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen, direct and through the front, in the order it was measured.

    Latencies of requests one at a time, seconds: `whole` to the full answer, `first` to the first chunk of a streamed
    one. `rates`: requests per second of blocks at `concurrency`.
    """

    concurrency: int
    whole_direct_s: list[float]
    whole_front_s: list[float]
    first_direct_s: list[float]
    first_front_s: list[float]
    rates_direct: list[float]
    rates_front: list[float]


class Target:
    """One of the two ways to the engine."""

    def __init__(self, base_url: str, agent: str) -> None:
        self.client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120)
        self.headers = {"x-agent-id": agent, "x-session-id": "probe"}
        self.model = ""
        rng = Random(agent)
        self.tools = tool_schemas(rng, 2)
        self.system = system_prompt(rng, agent, PROMPT_TOKENS)
        self.user = remark(rng, 60)

    async def prepare(self) -> None:
        """Learn the model's name and have the prompt cached."""
        self.model = (await self.client.models.list()).data[0].id
        for _ in range(3):
            await self.whole(8)

    async def whole(self, max_tokens: int = 1) -> float:
        begun_s = time.perf_counter()
        await self._ask(max_tokens, stream=False)
        return time.perf_counter() - begun_s

    async def first(self) -> float:
        """Time to the first chunk; the rest of the stream is read but not timed."""
        begun_s = time.perf_counter()
        first_s = 0.0
        async for _ in await self._ask(2, stream=True):
            first_s = first_s or time.perf_counter() - begun_s
        return first_s

    async def rate(self, requests: int, concurrency: int) -> float:
        """Requests per second with `concurrency` in flight."""
        left = iter(range(requests))

        async def work() -> None:
            for _ in left:
                await self.whole(8)

        begun_s = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
        return requests / (time.perf_counter() - begun_s)

    async def _ask(self, max_tokens: int, *, stream: bool) -> Any:
        create: Any = self.client.chat.completions.create
        return await create(
            model=self.model,
            messages=[{"role": "system", "content": self.system}, {"role": "user", "content": self.user}],
            tools=self.tools,
            max_tokens=max_tokens,
            temperature=0,
            stream=stream,
            extra_headers=self.headers,
            extra_body={"ignore_eos": True},
        )


async def probe(direct_url: str, front_url: str, pairs: int, blocks: int, concurrency: int) -> Probe:
    """Alternate between the two; which goes first alternates too. Raises openai.APIError if either fails."""
    targets = Target(direct_url, "probe"), Target(front_url, "probe")
    for target in targets:
        await target.prepare()
    whole = await _alternate(pairs, *(target.whole for target in targets))
    first = await _alternate(pairs, *(target.first for target in targets))

    def block(target: Target) -> Any:
        return lambda: target.rate(6 * concurrency, concurrency)

    rates = await _alternate(blocks, *(block(target) for target in targets))
    return Probe(
        concurrency=concurrency, whole_direct_s=whole[0], whole_front_s=whole[1], first_direct_s=first[0],
        first_front_s=first[1], rates_direct=rates[0], rates_front=rates[1],
    )  # fmt: skip


async def _alternate(times: int, *sides: Any) -> tuple[list[float], list[float]]:
    seen: tuple[list[float], list[float]] = ([], [])
    for number in range(times):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            await asyncio.sleep(PAUSE_S)
            seen[side].append(await sides[side]())
    return seen


async def probe_apart(direct_url: str, front_url: str, pairs: int, blocks: int, concurrency: int) -> Probe:
    """The same from a child process. Cancelling this kills the child. Raises DriveError if the child fails."""
    command = (
        sys.executable, "-m", "radixdeck.demos.probe", "--direct", direct_url, "--front", front_url,
        "--pairs", str(pairs), "--blocks", str(blocks), "--concurrency", str(concurrency),
    )  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        told, words = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise DriveError(f"probe: {words.decode(errors='replace').strip()}")
    return msgspec.json.decode(told, type=Probe)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m radixdeck.demos.probe --direct URL/v1 --front URL/v1`: a Probe as JSON on standard output."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.probe", description=main.__doc__)
    parser.add_argument("--direct", required=True)
    parser.add_argument("--front", required=True)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--concurrency", type=int, default=8)
    told = parser.parse_args(arguments)
    seen = asyncio.run(probe(told.direct, told.front, told.pairs, told.blocks, told.concurrency))
    sys.stdout.buffer.write(msgspec.json.encode(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
