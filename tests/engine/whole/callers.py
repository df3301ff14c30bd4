"""Callers that keep a daemon busy: agents with long prompts, more of them than the cache has room for, session after
session; and one that asks the same thing again and again."""

from __future__ import annotations

import asyncio
from random import Random
from types import TracebackType
from typing import Any

import aiohttp
import msgspec
from news import News

AGENTS = 18
CALLERS = 4
ANCHOR_WORDS = 400
STEPS = 3
"""Requests of a session."""
CANDIDATES = 40
"""Of so many questions the one is asked again and again whose answer is the surest."""
WORDS = "the plan says that each step of this task is checked by another agent before it counts".split()  # noqa: SIM905


class Answer(msgspec.Struct, frozen=True):
    """`sure`: by how much every token of it was ahead of the next likely one, in logits."""

    status: int
    text: str
    sure: float


def prompt(rng: Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words))


class Callers:
    """They ask while the block lasts. `asked`, `failed`: how many got an answer, and what was said to the others;
    `fixed_asked`, `other`: how often the fixed question was asked, and answers to it that are not like the first."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._anchors = [prompt(Random(f"agent {number}"), ANCHOR_WORDS) for number in range(AGENTS)]
        self._fixed: tuple[str, str] = ("", "")
        self._go, self._news = asyncio.Event(), News()
        self._over = False
        self._under_way = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.asked = 0
        self.failed: list[str] = []
        self.fixed_asked = 0
        self.other: list[str] = []

    async def __aenter__(self) -> Callers:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        await self._choose()
        self._tasks = [asyncio.create_task(self._sessions(number)) for number in range(CALLERS)]
        self._tasks.append(asyncio.create_task(self._same_again()))
        self._go.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._go.set()
        try:
            if kind is None:
                await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await self._http.close()

    async def one_more(self, timeout_s: float = 20) -> None:
        """Until one more has its answer, and so asks again, or somebody got none."""
        before = self.asked
        await self._news.until(lambda: self.asked != before or self.failed, timeout_s)

    async def pause(self, seconds: float) -> None:
        """Nobody asks for so long, once all who did have their answer."""
        self._go.clear()
        await self._news.until(lambda: not self._under_way, 60)
        await asyncio.sleep(seconds)
        self._go.set()

    async def _choose(self) -> None:
        surest = 0.0
        for number in range(CANDIDATES):
            question = prompt(Random(f"question {number}"), 40)
            answer = await self._ask("asker", "fixed", [], question, logprobs=True, top_logprobs=2)
            if answer.sure > surest:
                surest, self._fixed = answer.sure, (question, answer.text)
        assert surest > 0.5, "an answer that others under way do not change"

    async def _sessions(self, number: int) -> None:
        """Session after session; one agent follows the other."""
        rng = Random(f"caller {number}")
        count = 0
        while not self._over:
            history: list[str] = []
            first = rng.randrange(AGENTS)
            for agent in (place % AGENTS for place in range(first, first + STEPS)):
                history.append(prompt(rng, 30))
                await self._turn(f"agent{agent}", f"caller{number}-{count}", [self._anchors[agent], *history])
            count += 1

    async def _same_again(self) -> None:
        question, text = self._fixed
        while not self._over:
            answer = await self._turn("asker", "fixed", [question])
            self.fixed_asked += 1
            if answer.text != text:
                self.other.append(answer.text)

    async def _turn(self, agent: str, session: str, said: list[str]) -> Answer:
        await self._go.wait()
        self._under_way += 1
        try:
            answer = await self._ask(agent, session, said[:-1], said[-1])
        except aiohttp.ClientError as error:
            answer = Answer(0, repr(error), 0.0)
        finally:
            self._under_way -= 1
            self._news.come()
        if answer.status == 200:
            self.asked += 1
        else:
            self.failed.append(f"{answer.status}: {answer.text}")
        return answer

    async def _ask(self, agent: str, session: str, before: list[str], question: str, **more: Any) -> Answer:
        roles = ["system", *["user"] * len(before)] if before else []
        messages = [{"role": role, "content": text} for role, text in zip(roles, before, strict=False)]
        messages.append({"role": "user", "content": question})
        body: dict[str, Any] = {"model": "radixdeck-tiny", "messages": messages, "max_tokens": 4, "temperature": 0}
        body.update(more)
        headers = {"x-agent-id": agent, "x-session-id": session}
        async with self._http.post(self._url, json=body, headers=headers) as got:
            if got.status != 200:
                return Answer(got.status, await got.text(), 0.0)
            (choice,) = (await got.json())["choices"]
        tops = [token["top_logprobs"] for token in (choice["logprobs"] or {"content": ()})["content"]]
        sure = min(first["logprob"] - second["logprob"] for first, second in tops) if tops else 0.0
        return Answer(200, choice["message"]["content"], sure)
