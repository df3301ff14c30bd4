"""How the real proxy ends, and that the server behind it ends with it; what it is called on the broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

from radixdeck.console.cli_tools import own_name
from radixdeck.daemon.wire import NODE_NAME

STUBBORN = """
import json, os, signal
told = {"level": "info", "data": os.getpid()}
print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": told}), flush=True)
while True:
    signal.pause()
"""
SILENT = "import sys; sys.stdin.read()"
ANSWERS = """
import sys
for line in sys.stdin:
    print('{"jsonrpc": "2.0", "id": 1, "result": {}}', flush=True)
"""
CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "put"}}).encode() + b"\n"


async def start(folder: Path, server: str, stdout: int = PIPE, stdin: Any = PIPE) -> Process:
    rules = folder / "rules.toml"
    rules.write_text("[tools.get]\nread_only = true\nttl_s = 60\n")
    proxy = ["-m", "radixdeck.console.cli", "mcp-proxy", "--rules", str(rules), "--", sys.executable, "-c", server]
    return await asyncio.create_subprocess_exec(sys.executable, *proxy, stdin=stdin, stdout=stdout, stderr=PIPE)


async def told(process: Process) -> dict[str, Any]:
    """The next message to the client."""
    assert process.stdout is not None
    return json.loads(await asyncio.wait_for(process.stdout.readline(), 30))


async def ended(process: Process) -> tuple[int, str]:
    """Its exit status, and what it said, while its standard input stays open."""
    assert process.stderr is not None
    said = await asyncio.wait_for(process.stderr.read(), 30)
    return await process.wait(), said.decode()


async def test_a_server_that_ignores_the_end_of_its_input_ends_with_the_proxy(tmp_path: Path) -> None:
    process = await start(tmp_path, STUBBORN)
    server = (await told(process))["params"]["data"]
    try:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(server, 0)
    finally:
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
    assert "tool calls answered from memory" in (await ended(process))[1]


async def test_a_client_that_does_not_read_any_more_ends_it_in_words(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = await start(tmp_path, ANSWERS, writing)
    os.close(writing)
    os.close(reading)
    assert process.stdin is not None
    process.stdin.write(CALL)
    code, said = await ended(process)
    assert code == 0
    assert said.splitlines()[0] == "radixdeck mcp-proxy: the client does not read any more"
    assert len(said.splitlines()) == 2  # and the sum


@pytest.mark.parametrize("said", [b"", CALL])
async def test_a_file_is_a_client_that_has_hung_up(tmp_path: Path, said: bytes) -> None:
    file = Path(os.devnull)
    if said:
        (file := tmp_path / "asked").write_bytes(said)
    with file.open("rb") as asked:
        process = await start(tmp_path, SILENT, stdin=asked)
    code, words = await ended(process)
    assert (code, len(words.splitlines())) == (0, 1)
    assert f" 0 of {1 if said else 0} tool calls answered from memory" in words


async def test_a_line_that_is_too_long_ends_it_in_words(tmp_path: Path) -> None:
    process = await start(tmp_path, SILENT)
    assert process.stdin is not None
    process.stdin.write(CALL)
    process.stdin.write(b"x" * (65 << 20))
    error = (await told(process))["error"]
    assert "longer than 64 MiB" in error["message"]
    code, said = await ended(process)
    assert code == 3
    assert "longer than 64 MiB" in said.splitlines()[0]
    assert len(said.splitlines()) == 2


def test_two_proxies_of_one_agent_are_two_nodes() -> None:
    names = [own_name("acme/planner" + 100 * "x", ["/opt/my server", "--its", "arguments"]) for _ in range(2)]
    assert names[0] != names[1]
    assert all(NODE_NAME.fullmatch(name) and name.startswith("mcp-acme-planner") for name in names)
    assert "-my-server-" in names[0]
    assert own_name("", ["npx"]).startswith("mcp-agent-npx-")
