"""The driver calling tools of a real MCP server behind a real proxy of a real daemon; only the engine is made up."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from chat_server import Server, serving

pytest.importorskip("mcp")

from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.demos import mcp_store
from radixdeck.demos.apart import Drive, DriveError, drive_apart
from radixdeck.demos.drive import Plan
from radixdeck.demos.drive_tools import ToolFailed, Tools, ToolServer
from radixdeck.demos.memo_trace import Step
from radixdeck.demos.policy_cases_tools import MEMOIZATION
from radixdeck.demos.policy_measures import calls_of
from radixdeck.demos.policy_tools import TOLD_S, DriveTools
from radixdeck.demos.spec import Message, Turn
from radixdeck.policies.events import PolicySwitched

CASE = replace(MEMOIZATION[0], tool_s=0.01)
GET, PUT = Step("get", {"key": "k"}), Step("put", {"key": "k", "value": "red 1"})


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[Server]:
    async with serving() as told:
        yield told


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    spec = EngineSpec(model=str(tmp_path / "no-model"), device="cpu")
    policy = PolicySection(enabled=["memoization"])
    config = DaemonConfig(node="bare", port=0, home=str(tmp_path), engine=spec, policy=policy)
    async with open_daemon(config) as running:
        yield running


def session(*calls: Step) -> list[Turn]:
    """A request, and one behind each call."""
    messages: list[Message] = [{"role": "user", "content": "look"}]
    turns = [Turn(session="s", agent="a", messages=messages, stream=False)]
    for number, call in enumerate(calls):
        messages = [*messages, {"role": "tool", "tool_call_id": f"call-{number}", "content": ""}]
        turns.append(Turn(session="s", agent="a", messages=messages, stream=False, call=call))
    return turns


async def driven(turns: list[Turn], url: str, server: ToolServer | None) -> Drive:
    return await drive_apart(Plan(turns=turns, by_session=True, tools=server), url, lambda _: None)


async def test_a_daemons_switch_decides_whether_calls_are_answered_from_memory(engine: Server, daemon: Daemon) -> None:
    turns = session(GET, GET, GET, GET, PUT, GET)
    runs: list[int] = []
    for on in (False, True):
        daemon.journal.append(PolicySwitched(t_ns=1, policy="memoization", enabled=on))
        daemon.publisher.send_agents()
        tools = DriveTools(CASE, daemon.config.home)
        outcomes = (await driven(turns, engine.url, tools.server)).outcomes
        assert [outcome.error for outcome in outcomes] == [""] * 7
        assert [seen.answer for seen in calls_of(outcomes)] == [*4 * ["nothing"], "stored", "red 1"]
        runs.append(tools.runs)
        assert [line for line in tools.said if "tool calls answered from memory" in line]
    assert runs == [6, 5], "two have to agree before the fourth is answered"
    assert TOLD_S > 1.0, "tables go out once a second"
    last = [{"role": "tool", "tool_call_id": "call-5", "content": "red 1"}]
    for asked in (engine.calls[6]["messages"], engine.calls[13]["messages"]):
        assert [message["content"] for message in asked[1:6]] == [*4 * ["nothing"], "stored"]
        assert asked[-1:] == last


async def test_a_call_that_fails_is_an_outcome_and_the_session_goes_on(engine: Server, daemon: Daemon) -> None:
    turns = session(Step("fails", {}), Step("crash", {}), GET)
    tools = DriveTools(CASE, daemon.config.home)
    outcomes = (await driven(turns, engine.url, tools.server)).outcomes
    assert [outcome.error.partition(":")[0] for outcome in outcomes] == ["", "tool fails", "tool crash", "tool get"]
    assert [outcome.seen for outcome in outcomes] == [None] * 4
    assert len(engine.calls) == 1


@pytest.mark.parametrize(("spread", "least_s", "most_s"), [(0.0, 2.0, 2.0), (0.5, 1.0, 3.0)])
async def test_a_tool_takes_its_time_give_or_take_its_spread(
    spread: float, least_s: float, most_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept_s: list[float] = []

    async def sleep(seconds: float) -> None:
        slept_s.append(seconds)

    monkeypatch.setattr(mcp_store.asyncio, "sleep", sleep)
    store = mcp_store.Store(tmp_path / "log", 2.0, spread)
    for _ in range(50):
        await store.ran("get")
    assert least_s <= min(slept_s) <= max(slept_s) <= most_s
    assert (max(slept_s) - min(slept_s) > spread) == (spread > 0)
    assert (tmp_path / "log").read_text().split() == 50 * ["get"]


@pytest.mark.parametrize(
    ("content", "failed", "words"),
    [
        ({"result": "red"}, True, "tool get: "),
        (None, False, "tool get: Expected `object`"),
        ({}, False, "tool get: Object missing required field `result`"),
        ({"result": 7}, False, r"tool get: Expected `str | array`"),
        ({"result": ["k", 7]}, False, "tool get: Expected `str`"),
    ],
)
async def test_what_the_store_never_says_is_no_result(content: Any, failed: bool, words: str) -> None:
    server: MCPServer[Any] = MCPServer("odd")

    @server.tool()
    def get(key: str) -> CallToolResult:
        return CallToolResult(content=[TextContent(text=key)], structured_content=content, is_error=failed)

    async with Client(server) as client:
        with pytest.raises(ToolFailed, match=f"^{re.escape(words)}"):
            await Tools(client).call(session(GET)[1])


async def test_calls_that_cannot_be_made_are_refused_before_any_request(engine: Server, tmp_path: Path) -> None:
    good = session(GET)
    server = ToolServer(folder=str(tmp_path), home=str(tmp_path), node="t", rules="", tool_s=0.0)
    placeless = [msgspec.structs.replace(good[1], messages=good[0].messages)]
    for turns, told, words in (
        (good, None, "turn 1 calls get, and the plan names no server"),
        (placeless, server, "turn 0 calls get, and its last message is not"),
        (good, server, "no server of tools: radixdeck: no daemon runs here"),
        (good, msgspec.structs.replace(server, rules="["), "no server of tools: radixdeck: "),
    ):
        with pytest.raises(DriveError, match=words):
            await driven(turns, engine.url, told)
    assert engine.calls == []
