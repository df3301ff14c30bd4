"""The real proxy before a real MCP server, over real pipes, with the SDK's own client: what passes, what is answered."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CallToolResult, ElicitResult, TextContent

RULES = """
[tools.get]
read_only = true
ttl_s = 300
[tools.search]
read_only = true
ttl_s = 300
scope = "tenant"
[tools.clock]
read_only = true
ttl_s = 300
invalidated_by = []
[tools.fails]
read_only = true
ttl_s = 300
[tools.asks]
read_only = true
ttl_s = 300
"""


class Rig:
    """A client behind the proxy. `log`: what the server's tools really did."""

    def __init__(self, client: Client, log: Path, said: Path) -> None:
        self.client, self._log, self._said = client, log, said

    @property
    def ran(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []

    @property
    def said(self) -> str:
        return self._said.read_text()

    async def call(self, tool: str, agent: str = "", **arguments: Any) -> str:
        result = await self.client.call_tool(tool, arguments, meta={"radixdeck/agent": agent} if agent else None)
        return words(result)


def words(result: CallToolResult) -> str:
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


def proxied(rules: Path, *server: str) -> StdioServerParameters:
    arguments = ["-m", "radixdeck.console.cli", "mcp-proxy", "--rules", str(rules), "--agent", "coder", "--", *server]
    return StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))


@asynccontextmanager
async def rig(folder: Path, rules: str = RULES, delay_s: float = 0.0, **more: Any) -> AsyncIterator[Rig]:
    from mcp.client.stdio import stdio_client

    file, log, said = folder / "rules.toml", folder / "log", folder / "said"
    file.write_text(rules)
    server = proxied(file, sys.executable, "-m", "radixdeck.demos.mcp_store", str(log), str(delay_s))
    with said.open("w") as errors:
        async with Client(stdio_client(server, errlog=errors), **more) as client:
            yield Rig(client, log, said)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_everything_passes_and_repeats_are_answered(tmp_path: Path, mode: str) -> None:
    async with rig(tmp_path, mode=mode) as r:
        assert {tool.name for tool in (await r.client.list_tools()).tools} >= {"get", "put", "search"}
        assert "a store" in str((await r.client.read_resource("store://about")).contents[0])
        assert await r.call("put", key="a", value="one") == "stored"
        assert [await r.call("get", key="a") for _ in range(6)] == ["one"] * 6
        assert r.ran == ["put", "get", "get", "get"]  # two repeats had to agree first
        assert await r.call("put", key="a", value="two") == "stored"
        assert [await r.call("get", key="a") for _ in range(3)] == ["two"] * 3
        assert r.ran[4:] == ["put", "get"]
    assert "5 of 11 tool calls answered from memory" in r.said


async def test_agents_do_not_see_each_others_results_unless_the_rules_share_them(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        for agent in ("one", "one", "one", "other", "other"):
            await r.call("get", agent, key="a")
            await r.call("search", agent, text="x")
        assert (r.ran.count("get"), r.ran.count("search")) == (4, 3)


async def test_a_tool_that_is_declared_wrongly_is_off_before_it_does_harm(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        said = [await r.call("clock") for _ in range(5)]
        assert len(set(said)) == 5
    assert "tool clock off: the same call gave another result" in r.said


async def test_the_servers_word_that_a_tool_changes_things_outranks_the_rules(tmp_path: Path) -> None:
    async with rig(tmp_path, RULES + "[tools.put]\nread_only = true\nttl_s = 300\n") as r:
        await r.client.list_tools()
        for _ in range(5):
            await r.call("put", key="a", value="b")
        assert r.ran == ["put"] * 5
    assert "tool put off: the server says that it changes things" in r.said


async def test_errors_and_what_a_person_said_are_never_kept(tmp_path: Path) -> None:
    async def says(*_: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    async with rig(tmp_path, mode="legacy", elicitation_callback=says) as r:
        for _ in range(4):
            assert (await r.client.call_tool("fails", {})).is_error
            assert await r.call("asks", key="a") == "decline"
        assert (r.ran.count("fails"), r.ran.count("asks")) == (4, 4)


async def test_the_same_call_twice_at_a_time_is_one_call(tmp_path: Path) -> None:
    async with rig(tmp_path, delay_s=0.05) as r:
        for _ in range(3):
            await r.call("get", key="known")
        said = await asyncio.gather(*(r.call("get", key="new") for _ in range(8)))
        assert (set(said), r.ran.count("get")) == ({"nothing"}, 4)


async def test_a_read_during_a_change_is_not_kept(tmp_path: Path) -> None:
    async with rig(tmp_path, delay_s=0.1) as r:
        for _ in range(3):
            await r.call("get", key="a")
        changing = asyncio.create_task(r.call("put", key="a", value="new"))
        await asyncio.sleep(0.05)
        assert await r.call("get", key="a") == "nothing"
        await changing
        assert [await r.call("get", key="a") for _ in range(2)] == ["new", "new"]


async def test_a_caller_that_waits_no_more_does_not_take_the_others_along(tmp_path: Path) -> None:
    async with rig(tmp_path, delay_s=0.3) as r:
        for _ in range(3):
            await r.call("get", key="known")
        first = asyncio.create_task(r.call("get", key="new"))
        second = asyncio.create_task(r.call("get", key="new"))
        await asyncio.sleep(0.1)
        first.cancel()
        assert await second == "nothing"
        assert r.ran.count("get") == 4


async def test_a_change_that_is_called_off_leaves_what_it_changes_unanswered(tmp_path: Path) -> None:
    async with rig(tmp_path, delay_s=0.2) as r:
        for _ in range(3):
            await r.call("get", key="a")
        changing = asyncio.create_task(r.call("put", key="a", value="new"))
        await asyncio.sleep(0.1)
        changing.cancel()
        for _ in range(3):
            await r.call("get", key="a")
        assert r.ran.count("get") == 6


async def test_a_server_that_dies_is_told_to_all_who_wait(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        with pytest.raises(MCPError, match="the MCP server behind"):
            await r.call("crash")
        with pytest.raises(Exception):  # noqa: B017, PT011 - the pipe is closed, however the client puts it
            await asyncio.wait_for(r.call("get", key="a"), 10)
    assert "has ended" in r.said


SPEAKS_ROUGHLY = """
import json, sys
def say(text):
    sys.stdout.write(text + "\\n"); sys.stdout.flush()
for line in sys.stdin:
    told = json.loads(line)
    if told.get("method") == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "r", "version": "1"}}
        say(json.dumps({"jsonrpc": "2.0", "id": told["id"], "result": result}))
    elif told.get("method") == "tools/call":
        say("this is no JSON"); say('{"jsonrpc": "2.0"}'); say("[]")
        say(json.dumps({"jsonrpc": "2.0", "id": 10**6, "result": {}}))
        say(json.dumps({"jsonrpc": "2.0", "id": told["id"], "result": {"content": [], "structuredContent": {"n": 10**30}}}))
"""


async def test_garbage_from_the_server_is_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    from mcp.client.stdio import stdio_client

    rules, script = tmp_path / "rules.toml", tmp_path / "rough.py"
    rules.write_text(RULES)
    script.write_text(SPEAKS_ROUGHLY)
    with (tmp_path / "said").open("w") as errors:
        async with Client(
            stdio_client(proxied(rules, sys.executable, str(script)), errlog=errors), mode="legacy"
        ) as client:
            for _ in range(5):
                assert (await client.call_tool("get", {"key": "a"})).structured_content == {"n": 10**30}
    assert "a line of the server is no message of MCP" in (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    ("rules", "server", "says"),
    [
        ("[tools.get]\nread_only = 1", ["true"], "rules.toml: line 2: tools.get.read_only"),
        (RULES, ["no-such-command-here"], "no-such-command-here"),
        (RULES, [], "say which server after `--`"),
    ],
)
async def test_what_cannot_start_says_why(tmp_path: Path, rules: str, server: list[str], says: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(rules)
    told = proxied(file, *server)
    process = await asyncio.create_subprocess_exec(
        told.command, *told.args, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert says in said.decode()
    assert process.returncode == 2
