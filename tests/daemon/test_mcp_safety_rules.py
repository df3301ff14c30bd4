"""The real proxy with a file of safety's rules: checked at the start, obeyed, and read again when it changes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from brokers import until
from mcp import MCPError
from test_mcp_proxy import Rig, proxied, refused, rigged

RULES = "[tools.get]\nread_only = true\nttl_s = 300\n"
GARBAGE = ["[agents.coder]\ntool = []", "tools = [", "[everybody]\ntools = 7", "\x00", "[nobody]\ntools = []"]


@asynccontextmanager
async def guarded(folder: Path, safety: str) -> AsyncGenerator[tuple[Rig, Path]]:
    rules, file, log = folder / "rules.toml", folder / "safety.toml", folder / "log"
    rules.write_text(RULES)
    file.write_text(safety)
    store = (sys.executable, "-m", "radixdeck.demos.mcp_store", str(log), "0")
    server = proxied(rules, *store, more=("--safety-rules", str(file)))
    async with rigged(server, log, folder / "said") as r:
        yield r, file


async def test_what_is_not_allowed_is_refused_and_rules_that_change_hold(tmp_path: Path) -> None:
    async with guarded(tmp_path, '[agents.coder]\ntools = ["get"]\n') as (r, file):
        for _ in range(2):
            with pytest.raises(MCPError, match="safety: agent 'coder' may not use tool 'put'; allowed: get"):
                await r.call("put", key="a", value="one")
        await r.call("get", key="a")
        assert r.ran == ["get"]
        file.write_text(GARBAGE[0])
        await until(lambda: "the former ones hold: line 2: agents.coder.tool" in r.said, "it cannot read them")
        with pytest.raises(MCPError, match="may not use tool 'put'"):
            await r.call("put", key="a", value="one")
        file.write_text('[agents.coder]\ntools = ["get", "put"]\n')
        assert await put(r) == "stored"
    assert r.said.count("tool put forbidden") == 1, "once, however often it is tried"
    assert "calls forbidden" in r.said


async def put(r: Rig) -> str:
    """Until it is allowed."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await r.call("put", key="a", value="one")
            except MCPError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("garbage", [*GARBAGE, None])
def test_rules_that_cannot_be_used_start_nothing(tmp_path: Path, garbage: str | None) -> None:
    rules, safety = tmp_path / "rules.toml", tmp_path / "safety.toml"
    rules.write_text(RULES)
    if garbage is not None:
        safety.write_text(garbage)
    told = proxied(rules, "touch", str(tmp_path / "started"), more=("--safety-rules", str(safety)))
    ran = refused(tmp_path, told)
    assert ran.returncode == 2
    assert f"rules of safety ({safety})" in ran.stderr
    assert not (tmp_path / "started").exists()
