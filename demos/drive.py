"""Drives a workload through any OpenAI-compatible URL with the real `openai` client, and times what a caller sees.

It runs as a process of its own (`python -m radixdeck.demos.drive`), so that the client's work does not delay the
daemon or the engine it measures. Turns come in as a JSON file, outcomes go out as JSON lines, one per turn.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import msgspec
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI

from .drive_tools import ToolFailed, Tools, ToolServer, check_calls, open_tools
from .memo_trace import Seen
from .workloads import Turn, WorkloadError

ATTEMPTS = 5
RETRY_S = 0.5
TIMEOUT_S = 120.0


class BrokenAnswer(Exception):
    """A stream that ended before it began, which the client itself does not call an error."""


TROUBLE = (APIError, httpx.HTTPError, BrokenAnswer)
"""What a request can end in. The client passes on httpx errors of a stream that breaks off."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of turn `index`. Times in seconds; `start_s` counts from the start of the drive.

    `ttft_s`: from sending to the first chunk of the answer (for an answer that is not streamed, the whole of it).
    `error`: '' or why it failed after `attempts` tries; times and tokens are those of the last try. `seen`: the call of
    a tool that came before it.
    """

    index: int
    agent: str
    session: str
    rid: str = ""
    start_s: float = 0.0
    ttft_s: float = 0.0
    latency_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    attempts: int = 1
    error: str = ""
    seen: Seen | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to drive. `concurrency`: turns in flight at most; `declare`: name agent and session in headers;
    `session_ends`: say with a session's last request that it is over.

    With `concurrency` 1 the engine sees the turns exactly in list order. `session_prefix` keeps sessions of repeated
    drives apart without changing a prompt. `by_session`: every session has a caller of its own, and `concurrency` is
    how many of them are open at once, so one that is kept waiting keeps nobody else. `arrivals`: a session comes when
    it comes, whoever else is being served: `think_s` of its first turn counts from the start of the drive. `tools`:
    where the calls of turns are made.
    """

    turns: list[Turn]
    concurrency: int = 1
    declare: bool = True
    session_ends: bool = False
    session_prefix: str = ""
    by_session: bool = False
    arrivals: bool = False
    tools: ToolServer | None = None


async def drive(plan: Plan, base_url: str, on_outcome: Callable[[Outcome], None], *, api_key: str = "none") -> None:
    """Issue every turn once, in order, and report each as it ends. Failures are outcomes, not exceptions.

    Raises openai.APIError only when the server cannot even name its model, WorkloadError if tools cannot be called.
    """
    check_calls(plan.turns, plan.tools)
    async with AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0, timeout=TIMEOUT_S) as client:
        model = (await client.models.list()).data[0].id
        async with nullcontext() if plan.tools is None else open_tools(plan.tools) as tools:
            await _Driver(client, model, plan, on_outcome, tools).run()


class _Driver:
    """Workers take turns, or whole sessions, from the front of the list; a turn also waits for its session's turn
    before it."""

    def __init__(
        self, client: AsyncOpenAI, model: str, plan: Plan, on_outcome: Callable[[Outcome], None], tools: Tools | None
    ) -> None:
        self.client, self.model, self.plan, self.on_outcome, self.tools = client, model, plan, on_outcome, tools
        self.begun_s = time.perf_counter()
        self.queue = iter(_errands(plan))
        self.before: dict[int, int] = _turn_before(plan.turns)
        self.done = [asyncio.Event() for _ in plan.turns]
        self.ended_s = [0.0] * len(plan.turns)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, self.plan.concurrency)):
                group.create_task(self._work())

    async def _work(self) -> None:
        for errand in self.queue:
            for index, turn in errand:
                await self._wait_for_session(index, turn)
                self.on_outcome(await self._step(index, turn))
                self.ended_s[index] = time.perf_counter()
                self.done[index].set()

    async def _wait_for_session(self, index: int, turn: Turn) -> None:
        if (before := self.before.get(index)) is None:
            if self.plan.arrivals:
                await asyncio.sleep(max(0.0, self.begun_s + turn.think_s - time.perf_counter()))
            return
        await self.done[before].wait()
        await asyncio.sleep(max(0.0, self.ended_s[before] + turn.think_s - time.perf_counter()))

    async def _step(self, index: int, turn: Turn) -> Outcome:
        """The call of a tool, if the turn begins with one, and the request."""
        if self.tools is None:
            return await self._ask(index, turn)
        start_s = time.perf_counter() - self.begun_s
        try:
            seen = await self.tools.call(turn) if turn.call is not None else None
        except ToolFailed as error:
            return Outcome(index=index, agent=turn.agent, session=turn.session, start_s=start_s, error=str(error))
        return msgspec.structs.replace(await self._ask(index, self.tools.filled(turn)), seen=seen)

    async def _ask(self, index: int, turn: Turn) -> Outcome:
        outcome = Outcome(index=index, agent=turn.agent, session=turn.session)
        for attempt in range(1, ATTEMPTS + 1):
            sent_s = time.perf_counter()
            kept = msgspec.structs.replace(outcome, attempts=attempt, start_s=sent_s - self.begun_s)
            try:
                facts = await self._once(turn, sent_s)
                return msgspec.structs.replace(kept, **facts, error="", latency_s=time.perf_counter() - sent_s)
            except TROUBLE as error:
                outcome = msgspec.structs.replace(kept, error=describe(error))
                if not retryable(error):
                    break
                if attempt < ATTEMPTS:
                    await asyncio.sleep(retry_delay_s(error, attempt))
        return outcome

    async def _once(self, turn: Turn, sent_s: float) -> dict[str, Any]:
        create: Any = self.client.chat.completions.create
        answer: Any = await create(**request_of(turn, self.model, self.plan))
        facts: dict[str, Any] = {}
        if not turn.stream:
            return {"rid": answer.id, "ttft_s": time.perf_counter() - sent_s, **usage_of(answer.usage)}
        async for chunk in answer:
            if chunk.choices and "ttft_s" not in facts:
                facts = {"rid": chunk.id, "ttft_s": time.perf_counter() - sent_s}
            if chunk.usage is not None:
                facts |= usage_of(chunk.usage)
        if "ttft_s" not in facts:
            raise BrokenAnswer("the stream ended without a single chunk of an answer")
        return facts


def _errands(plan: Plan) -> list[list[tuple[int, Turn]]]:
    """What a worker takes at once: a turn, or all turns of a session."""
    errands: dict[str | int, list[tuple[int, Turn]]] = {}
    for index, turn in enumerate(plan.turns):
        errands.setdefault(turn.session if plan.by_session else index, []).append((index, turn))
    return list(errands.values())


def _turn_before(turns: Sequence[Turn]) -> dict[int, int]:
    last: dict[str, int] = {}
    before: dict[int, int] = {}
    for index, turn in enumerate(turns):
        if turn.session in last:
            before[index] = last[turn.session]
        last[turn.session] = index
    return before


def request_of(turn: Turn, model: str, plan: Plan) -> dict[str, Any]:
    """Arguments of `chat.completions.create`: greedy, and `max_tokens` long whatever the model says, for equal work."""
    named = {"x-agent-id": turn.agent, "x-session-id": plan.session_prefix + turn.session} if plan.declare else {}
    if plan.session_ends and turn.last:
        named["x-session-end"] = "true"
    asked: dict[str, Any] = {
        "model": model, "messages": turn.messages, "max_tokens": turn.max_tokens, "temperature": 0,
        "stream": turn.stream, "extra_body": {"ignore_eos": True},
        "extra_headers": {name: header_value(value) for name, value in named.items() if value},
    }  # fmt: skip
    if turn.tools:
        asked["tools"] = turn.tools
    if turn.stream:
        asked["stream_options"] = {"include_usage": True}
    return asked


def header_value(name: str) -> str:
    """A name from anybody's log as a header may carry it: printable ASCII, at most 128 characters."""
    return re.sub(r"[^ -~]", "?", name.strip())[:128]


def usage_of(usage: Any) -> dict[str, int]:
    """Token counts of an answer; cached tokens are 0 where a server does not report them."""
    if usage is None:
        return {}
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return {
        "prompt_tokens": usage.prompt_tokens, "cached_tokens": cached, "output_tokens": usage.completion_tokens,
    }  # fmt: skip


def retryable(error: Exception) -> bool:
    """Connection trouble, an engine that is away, and an answer that broke off; never a request that was refused."""
    return not isinstance(error, APIStatusError) or error.status_code >= 500 or error.status_code in (408, 429)


def retry_delay_s(error: Exception, attempt: int) -> float:
    """What the server asks for, else half a second doubled with each attempt; at most 10 s."""
    asked = error.response.headers.get("retry-after", "") if isinstance(error, APIStatusError) else ""
    try:
        return min(10.0, max(0.0, float(asked)))
    except ValueError:
        return min(10.0, RETRY_S * 2 ** (attempt - 1))


def describe(error: Exception) -> str:
    """One line: what kind of error, and the server's words."""
    kind = f"HTTP {error.status_code}" if isinstance(error, APIStatusError) else type(error).__name__
    cause = f" ({error.__cause__})" if isinstance(error, APIConnectionError) and error.__cause__ else ""
    return f"{kind}: {error}{cause}"


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m radixdeck.demos.drive --plan FILE --base-url URL/v1`: outcomes as JSON lines on standard output."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.drive", description=main.__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--plan", required=True, type=Path, help="JSON file of a Plan")
    told = parser.parse_args(arguments)
    try:
        plan = msgspec.json.decode(told.plan.read_bytes(), type=Plan)
        asyncio.run(drive(plan, told.base_url, _print_line))
    except (OSError, msgspec.DecodeError, WorkloadError) as error:
        print(f"{told.plan}: {error}", file=sys.stderr)
        return 2
    except APIError as error:
        print(f"{told.base_url}: {describe(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _print_line(told: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
