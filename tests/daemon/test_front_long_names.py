"""Names of any length pass, but what is told of them is short: it is recorded, published and kept in every keyframe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from front_harness import TOOL_CALL, stack
from test_safety_at_the_door import guarded

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.daemon.front_errors import MAX_REASON
from radixdeck.daemon.tools.memoized import ToolBox
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import MAX_NAME
from radixdeck.policies.events import RequestRefused, ToolCalled, ToolMemoized

LONG = "x" * (1 << 20)
RULES = '[everybody]\nmodels = ["m"]\ntools = ["search"]'


@pytest.mark.parametrize(
    "body",
    [
        {"model": LONG},
        {"model": "m", "lora_path": LONG},
        {"model": "m", "tools": [{"type": "function", "function": {"name": LONG}}]},
        {"model": "m", "tools": [{"type": LONG}]},
    ],
    ids=["model", "adapter", "tool", "type"],
)
async def test_what_is_forbidden_is_named_by_its_first_words(body: dict[str, Any]) -> None:
    async with stack(door=guarded(RULES)) as s:
        status, answer = await s.post("/v1/chat/completions", {"messages": [], **body})
        (told,) = s.of(RequestRefused)
        assert (status, told.reason) == (403, answer["error"]["message"])
        assert "x" * MAX_NAME + "...'; allowed: " in told.reason
        assert len(told.reason) < MAX_NAME + 80


async def test_no_reason_is_longer_than_what_is_kept_of_it() -> None:
    async with stack() as s:
        status, answer = await s.post("/radixdeck/" + "x" * 5_000, None)
        assert (status, len(answer["error"]["message"]) > 5_000) == (404, True)
        assert s.of(RequestRefused)[0].reason == answer["error"]["message"][:MAX_REASON] + "..."


async def test_a_tool_is_told_by_the_first_words_of_its_name_in_transcripts_and_answers() -> None:
    function = {**TOOL_CALL["function"], "name": LONG}
    messages = [{"role": "assistant", "tool_calls": [{**TOOL_CALL, "function": function}]}]
    messages.append({"role": "tool", "tool_call_id": "call_1", "content": "found"})
    async with stack(door=Door(DoorHost(["memoization"]), now_ns)) as s:
        s.upstream.tools = True
        for turn in range(12):
            messages[0]["tool_calls"][0]["id"] = messages[1]["tool_call_id"] = f"call_{turn}"
            await s.post("/v1/chat/completions", {"messages": messages}, {"x-session-id": "s"})
        assert {fact.tool for fact in s.of(ToolMemoized)} == {"x" * MAX_NAME}


async def test_an_answer_names_tools_by_their_first_words(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stack() as s:
        s.upstream.tools = True
        monkeypatch.setitem(TOOL_CALL, "function", {"name": LONG, "arguments": "{}"})
        await s.chat("hi")
        assert [fact.tools for fact in s.of(ToolCalled)] == [("x" * MAX_NAME,)]


def test_nor_do_programs_that_call_tools_tell_more(tmp_path: Path) -> None:
    rules, told = tmp_path / "rules.toml", list[ToolMemoized]()
    rules.write_text("[tools.find]\nread_only = true\nttl_s = 9\n")

    @ToolBox(rules, emit=told.append).memoized(LONG)
    def tool() -> str:
        return "found"

    assert tool() == "found"
    assert {fact.tool for fact in told} == {"x" * MAX_NAME}
