"""Policies that order what waits, over real HTTP: who is held for whom, who goes next, and what SGLang is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from front_harness import Stack, stack

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.engine.args import EngineSpec, priorities
from radixdeck.daemon.front_body import is_batch
from radixdeck.daemon.front_door import Door
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.events import (
    PrefixInserted,
    PrefixMatched,
    RequestAdmitted,
    RequestArrived,
    RequestFinished,
    RequestHeld,
    TunableChanged,
)

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def ask(s: Stack, agent: str, session: str = "s", **more: Any) -> asyncio.Task[tuple[int, Any]]:
    headers = {"x-agent-id": agent, "x-session-id": session}
    return asyncio.create_task(s.chat("hi " * 400, headers=headers, **more))


def begin(door: Door, arrived: RequestArrived, prompt: int = 500, cached: int = 0) -> None:
    """The engine says that it has begun this request."""
    who = {"rid": arrived.rid, "agent": arrived.agent, "session": arrived.session}
    counts = {"prompt_tokens": prompt, "cached_tokens": cached}
    door.follow(PrefixMatched(t_ns=now_ns(), anchor_tokens=400, **who, **counts))


async def test_the_second_request_of_an_agent_follows_the_first_ones_prefill() -> None:
    door = Door(DoorHost(["batch_shaping"]), now_ns)
    async with stack(door=door) as s:
        s.upstream.gate = asyncio.Event()
        tasks = [ask(s, "coder", "s1")]
        (first,) = await s.until(RequestArrived)
        tasks.append(ask(s, "coder", "s2"))
        (held,) = await s.until(RequestHeld)
        assert (held.by, held.session) == ("batch_shaping", "s2")
        tasks.append(ask(s, "planner", "s3"))
        await s.until(RequestArrived, 2)
        begin(door, first)
        await asyncio.sleep(0)
        assert door.held == 1
        door.follow(PrefixInserted(t_ns=now_ns(), rid=first.rid, phase="prompt", total_tokens=500, new_tokens=500))
        await s.until(RequestArrived, 3)
        s.upstream.gate.set()
        assert [(await task)[0] for task in tasks] == [200] * 3
        (let_in,) = s.of(RequestAdmitted)
        assert (let_in.by, let_in.session) == ("batch_shaping", "s2")
        assert let_in.why == "the anchor of coder is being computed for another request; this one follows"


async def test_nobody_follows_an_engine_that_says_nothing_for_long() -> None:
    door = Door(DoorHost(["batch_shaping"], {"batch_shaping": {"follow_s": 0.1}}), now_ns)
    async with stack(door=door) as s:
        s.upstream.gate = asyncio.Event()
        tasks = [ask(s, "coder", "s1"), ask(s, "coder", "s2")]
        await s.until(RequestArrived, 2)
        s.upstream.gate.set()
        assert [(await task)[0] for task in tasks] == [200] * 2


async def test_the_session_that_was_served_least_goes_first_of_one_agents_too() -> None:
    door = Door(DoorHost(["critical_path"], {"critical_path": {"ahead": 1}}), now_ns)
    async with stack(door=door) as s:
        earlier = ask(s, "coder", "long")
        begin(door, (await s.until(RequestArrived))[0], prompt=60_000)
        await earlier
        door.follow(TunableChanged(t_ns=now_ns(), policy="critical_path", name="quantum", value=1_000.0))
        s.upstream.gate = asyncio.Event()
        tasks = [ask(s, "coder", "inside")]
        await s.until(RequestArrived, 2)
        for count, session in enumerate(("long", "new"), start=1):
            tasks.append(ask(s, "coder", session))
            await s.until(RequestHeld, count)
        for count in (2, 3, 4):
            begin(door, (await s.until(RequestArrived, count))[-1])
        s.upstream.gate.set()
        assert {(await task)[0] for task in tasks} == {200}
        assert [fact.session for fact in s.of(RequestArrived)] == ["long", "inside", "new", "long"]
        assert {fact.by for fact in s.of(RequestHeld)} == {"critical_path"}
        assert len(s.of(RequestFinished)) == 4


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": ["hi", "ho"]}),
        ("/generate", {"text": ["hi", "ho"]}),
        ("/v1/chat/completions", {**CHAT, "n": 2}),
        ("/generate", {"text": "hi", "sampling_params": {"n": 2}}),
        ("/generate", {"input_ids": [1, 2], "sampling_params": [{"n": 2}]}),
        ("/generate", {"input_embeds": [[[0.5, 0.5]], [[0.5, 0.5]]]}),
    ],
)
async def test_batches_do_not_close_the_door(path: str, body: dict[str, Any]) -> None:
    """The engine tells under other ids that it has begun them."""
    door = Door(DoorHost(["critical_path"], {"critical_path": {"ahead": 2}}), now_ns)
    async with stack(door=door) as s:
        earlier = ask(s, "coder")
        begin(door, (await s.until(RequestArrived))[0])
        await earlier
        s.upstream.gate = asyncio.Event()
        tasks = [asyncio.create_task(s.post(path, dict(body), {"x-agent-id": f"a{n}"})) for n in range(3)]
        await s.until(RequestArrived, 4)
        tasks += [ask(s, "coder", "t"), ask(s, "coder", "u")]
        await s.until(RequestArrived, 6)
        tasks.append(ask(s, "coder", "v"))  # those two were no batches
        await s.until(RequestHeld)
        s.upstream.gate.set()
        assert [(await task)[0] for task in tasks] == [200] * 6


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": [1, 2], "n": 1},
        {"text": "hi", "n": None, "sampling_params": {"n": 1}},
        {"input_ids": [1, 2], "sampling_params": [{}, {"n": 1}, 7]},
        {"input_embeds": [[0.5, 0.5], [0.5, 0.5]]},
        {"text": "hi", "input_embeds": [[[0.5]]]},
        {"input_embeds": [[]], "sampling_params": 7},
    ],
)
def test_what_is_one_prompt_and_one_answer_is_no_batch(body: dict[str, Any]) -> None:
    assert not is_batch(body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": "hi"}),
        ("/generate", {"text": "hi"}),
        ("/v1/responses", {"input": "hi"}),
    ],
)
@pytest.mark.parametrize(
    ("takes", "own", "sent"), [(0, None, None), (1, None, 7), (-1, None, -7), (1, 3, 3), (0, 3, 3)]
)
async def test_sglang_is_told_a_priority_if_it_takes_any(
    path: str, body: dict[str, Any], takes: int, own: int | None, sent: int | None
) -> None:
    async with stack(door=Door(DoorHost(["critical_path"]), now_ns, priorities=takes)) as s:
        await s.post(path, body if own is None else {**body, "priority": own}, {"x-override-priority": "99"})
        assert s.upstream.last.get("priority") == sent
        assert "x-override-priority" not in s.upstream.last_headers


@pytest.mark.parametrize(("takes", "sent"), [(0, None), (1, "7"), (-1, "-7")])
async def test_messages_carry_it_in_a_header(takes: int, sent: str | None) -> None:
    async with stack(door=Door(DoorHost(["critical_path"]), now_ns, priorities=takes)) as s:
        await s.post("/v1/messages", {**CHAT, "max_tokens": 9}, {"x-override-priority": "99"})
        assert s.upstream.last_headers.get("x-override-priority") == sent
        assert "priority" not in s.upstream.last


def test_the_engine_takes_priorities_only_where_it_was_told_to() -> None:
    on = "--enable-priority-scheduling"
    assert priorities(EngineSpec()) == 0
    assert priorities(EngineSpec(sglang_args=("--schedule-low-priority-values-first",))) == 0
    assert priorities(EngineSpec(sglang_args=(on,))) == 1
    assert priorities(EngineSpec(sglang_args=("--schedule-low-priority-values-first", on))) == -1
