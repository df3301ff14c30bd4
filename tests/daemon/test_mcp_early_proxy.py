"""Calls made early by the real proxy, before a real MCP server, over real pipes, with the SDK's own client."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from test_mcp_proxy import Rig, rig

RULES = """
serial = {serial}
[tools.search]
read_only = true
ttl_s = 300
invalidated_by = ["put"]
[tools.get]
read_only = true
ttl_s = 300
speculate = true
invalidated_by = ["put"]
per = "key"
"""
WORDS = [f"word {letter}" for letter in "abcdefghij"]


async def fill(r: Rig) -> None:
    puts = ({"key": f"about {word}", "value": word} for word in WORDS)
    await asyncio.gather(*(r.client.call_tool("put", told) for told in puts))


async def look_up(r: Rig, word: str, think_s: float) -> str:
    """What an agent does: it searches, thinks, and gets what it found."""
    found = await r.client.call_tool("search", {"text": word})
    assert found.structured_content == {"result": [f"about {word}"]}
    await asyncio.sleep(think_s)
    return await r.call("get", key=f"about {word}")


@pytest.mark.parametrize(("mode", "think_s"), [("legacy", 0.2), ("auto", 0.2), ("auto", 0.0)])
async def test_the_next_call_is_made_while_the_agent_thinks(tmp_path: Path, mode: str, think_s: float) -> None:
    async with rig(tmp_path, RULES.format(serial="true"), 0.1, mode=mode) as r:
        await fill(r)
        assert [await look_up(r, word, think_s) for word in WORDS] == WORDS
        assert r.ran.count("search") == len(WORDS)
        assert r.ran.count("get") <= len(WORDS) + 3  # its trials go to the tool as well
    told = re.search(r"(\d+) of (\d+) early calls used", r.said)
    assert told is not None
    assert int(told[1]) >= 4


async def test_a_change_in_between_is_seen(tmp_path: Path) -> None:
    async with rig(tmp_path, RULES.format(serial="false"), 0.05) as r:
        await fill(r)
        for word in WORDS[:-1]:
            await look_up(r, word, 0.1)
        word, key = WORDS[-1], f"about {WORDS[-1]}"
        await r.client.call_tool("search", {"text": word})
        await r.call("put", key=key, value="changed")
        assert await r.call("get", key=key) == "changed"


async def test_without_the_word_in_the_rules_nothing_is_called_that_nobody_called(tmp_path: Path) -> None:
    async with rig(tmp_path, RULES.format(serial="true").replace("speculate = true", ""), 0.01) as r:
        await fill(r)
        for word in WORDS:
            await look_up(r, word, 0.05)
        assert r.ran.count("get") == len(WORDS)
    assert "early" not in r.said
