"""The real engine under supervision: it starts and serves. What becomes of it is in test_replaced."""

from __future__ import annotations

from typing import Any

import pytest
from supervised import Supervised

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


async def test_start_is_told_in_words(stock: Supervised) -> None:
    details = [status.detail for status in stock.told]
    assert details[:2] == ["preparing", "making the tiny model"]
    assert "importing SGLang" in details
    assert any(detail.startswith("ready in ") for detail in details)
    assert stock.engine.status.state == "ready"


async def test_the_baseline_has_the_same_attention(stock: Supervised) -> None:
    assert "new tokens only" in stock.log


async def test_chat_depends_on_the_prompt_and_reports_cached_tokens(stock: Supervised) -> None:
    first = await stock.ask(temperature=0)
    again = await stock.ask(temperature=0)
    other = await stock.ask(temperature=0, messages=[{"role": "user", "content": "Name a fish."}])
    assert first.choices[0].message.content == again.choices[0].message.content != other.choices[0].message.content
    assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1


async def test_stream_is_the_same_text(stock: Supervised) -> None:
    whole = await stock.ask(temperature=0)
    chunks = [chunk async for chunk in await stock.ask(temperature=0, stream=True)]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content


async def test_required_tool_is_called(stock: Supervised) -> None:
    answer = await stock.ask(tools=[TOOL], tool_choice="required", max_tokens=200, temperature=0)
    (call, *_) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"
