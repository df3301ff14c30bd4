"""The real proxy before a real MCP server, over real pipes, with the SDK's own client: what passes and is answered."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

pytest.importorskip("mcp")

from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CallToolResult, ElicitResult, TextContent
from typed import radixdeck

RULES = """
[tools.get]
read_only = true
ttl_s = 300
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

    async def call(self, tool: str, **arguments: Any) -> str:
        return words(await self.client.call_tool(tool, arguments))


def words(result: CallToolResult) -> str:
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


def proxied(rules: Path, *server: str, more: tuple[str, ...] = ()) -> StdioServerParameters:
    arguments = ["-m", "radixdeck.console.cli", "mcp-proxy", "--rules", str(rules), "--agent", "coder"]
    arguments += [*more, "--", *server]
    return StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))


def refused(folder: Path, told: StdioServerParameters) -> CompletedProcess[str]:
    """How a proxy ends that starts nothing."""
    return radixdeck(folder, *told.args[2:], env=told.env)


@asynccontextmanager
async def rig(folder: Path, rules: str = RULES, delay_s: float = 0.0, **more: Any) -> AsyncIterator[Rig]:
    file, log = folder / "rules.toml", folder / "log"
    file.write_text(rules)
    server = proxied(file, sys.executable, "-m", "radixdeck.demos.mcp_store", str(log), str(delay_s))
    async with rigged(server, log, folder / "said", **more) as r:
        yield r


@asynccontextmanager
async def rigged(server: StdioServerParameters, log: Path, said: Path, **more: Any) -> AsyncIterator[Rig]:
    """A client of this proxy."""
    from mcp.client.stdio import stdio_client

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


async def test_what_must_not_be_answered_is_not(tmp_path: Path) -> None:
    async def says(*_: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    rules = RULES + "[tools.put]\nread_only = true\nttl_s = 300\n"
    async with rig(tmp_path, rules, mode="legacy", elicitation_callback=says) as r:
        await r.client.list_tools()
        for _ in range(4):
            assert (await r.client.call_tool("fails", {})).is_error
            assert await r.call("asks", key="a") == "decline"
            await r.call("put", key="a", value="b")
        assert len({await r.call("clock") for _ in range(4)}) == 4
        assert [r.ran.count(tool) for tool in ("fails", "asks", "put", "clock")] == [4] * 4
    assert "tool clock off: the same call gave another result" in r.said
    assert "tool put off: the server says that it changes things" in r.said


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
        who = {"name": "rough", "version": "1"}
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": who}
        say(json.dumps({"jsonrpc": "2.0", "id": told["id"], "result": result}))
    elif told.get("method") == "tools/list":
        say(json.dumps({"jsonrpc": "2.0", "id": told["id"], "result": {"tools": []}}))
    elif told.get("method") == "tools/call":
        say("this is no JSON"); say('{"jsonrpc": "2.0"}'); say("[]")
        say(json.dumps({"jsonrpc": "2.0", "id": 10**6, "result": {}}))
        result = {"content": [], "structuredContent": {"n": 10**30}}
        say(json.dumps({"jsonrpc": "2.0", "id": told["id"], "result": result}))
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
    said = (tmp_path / "said").read_text()
    assert "a line of the server is no message of MCP" in said
    assert "this is no JSON" not in said  # what a server sends may be secret


@pytest.mark.parametrize(
    ("rules", "server", "says"),
    [
        ("[tools.get]\nread_only = 1", ["true"], "rules.toml): line 2: tools.get.read_only"),
        (RULES, ["no-such-command-here"], "no-such-command-here"),
        (RULES, [], "say which server after `--`"),
    ],
    ids=["rules", "command", "nothing"],
)
def test_what_cannot_start_says_why(tmp_path: Path, rules: str, server: list[str], says: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(rules)
    ran = refused(tmp_path, proxied(file, *server))
    assert says in ran.stderr
    assert ran.returncode == 2
