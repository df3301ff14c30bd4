"""A warm-up gives the engine back the moment real work comes, and there is one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from brokers import until
from front_harness import Upstream, serving
from test_without_engine import config

from radixdeck.daemon.engine.launch import Engine
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.daemon.wire import Reply
from radixdeck.policies.events import ActionTaken
from radixdeck.policies.identity.prompts import GENERATE_ROUTE
from radixdeck.policies.primitives import PREEMPTED
from radixdeck.storage.session import open_session

PLANNER = {"messages": [{"role": "system", "content": "You plan."}, {"role": "user", "content": "hello"}]}


class Stage:
    """A daemon before an engine that is slow from now on, and a warm-up that this has begun."""

    def __init__(self, daemon: Daemon, upstream: Upstream, warming: asyncio.Task[Reply]) -> None:
        self.daemon, self.upstream, self.warming = daemon, upstream, warming

    @property
    def warm_ups(self) -> list[str]:
        """Their request ids."""
        return [body["rid"] for path, _, body in self.upstream.requests if path == GENERATE_ROUTE]

    async def ask(self, body: dict[str, Any]) -> int:
        return await ask(self.daemon, body)


async def ask(daemon: Daemon, body: dict[str, Any]) -> int:
    url, headers = f"{daemon.url}/v1/chat/completions", {"x-agent-id": "planner"}
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
        return answer.status


@asynccontextmanager
async def warming(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with serving(Upstream()) as upstream, open_daemon(config(home)) as daemon:
        monkeypatch.setattr(Engine, "url", upstream.url)
        assert await ask(daemon, PLANNER) == 200
        await until(lambda: daemon.anchors.get("planner"), "its anchor is measured")
        upstream.begins = asyncio.Event()
        task = asyncio.create_task(daemon.command("warm", {"agent": "planner"}))
        stage = Stage(daemon, upstream, task)
        await until(lambda: stage.warm_ups, "the engine is asked")
        yield stage
        upstream.begins.set()
        await task


async def test_a_request_takes_the_engine_from_a_warm_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with warming(tmp_path, monkeypatch) as stage:
        asking = asyncio.create_task(stage.ask(PLANNER))
        reply = await asyncio.wait_for(stage.warming, 5)
        assert (reply.state, reply.detail, reply.tokens) == ("refused", PREEMPTED, 0)
        await asyncio.wait_for(stage.upstream.abort_seen.wait(), 5)
        assert stage.upstream.aborted == stage.warm_ups
        assert not stage.daemon.actions.warming
        assert stage.upstream.begins is not None
        stage.upstream.begins.set()
        assert await asking == 200
        recording = stage.daemon.recording
    with open_session(recording) as session:
        taken = [event for _, event in session.events(0, 100) if isinstance(event, ActionTaken)]
    assert [(one.kind, one.agent, one.ok, one.result) for one in taken] == [("warm", "planner", False, PREEMPTED)]


async def test_while_one_runs_another_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with warming(tmp_path, monkeypatch) as stage:
        reply = await asyncio.wait_for(stage.daemon.command("warm", {"agent": "planner"}), 5)
        assert (reply.state, reply.detail) == ("refused", "another warm-up is running")
        assert len(stage.warm_ups) == 1
        assert stage.daemon.actions.warming
