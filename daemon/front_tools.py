"""Tool results that a request brings: those after the last answer in its transcript, with the calls they belong to.

A transcript repeats all that was said before, so only what stands at its end is new. Reads only; anything of an
unexpected shape counts as absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, cast

import msgspec

from radixdeck.policies.doorkeeping import MAX_NAME, ToolUse
from radixdeck.policies.identity.prompts import CHAT_ROUTES, MESSAGES_ROUTE, RESPONSES_ROUTE, digest

MAX_USES = 256
Call = tuple[str, Any]
"""A tool's name and the arguments, None if they are none."""


def read_uses(route: str, body: Mapping[str, Any]) -> tuple[ToolUse, ...]:
    """The new results in the body of a request, at most MAX_USES."""
    if route in CHAT_ROUTES:
        found = _of_chat(_objects(body.get("messages")))
    elif route == MESSAGES_ROUTE:
        found = _of_messages(_objects(body.get("messages")))
    elif route == RESPONSES_ROUTE:
        found = _of_responses(_objects(body.get("input")))
    else:
        return ()
    return tuple(use for use, _ in zip(found, range(MAX_USES), strict=False))


def _of_chat(messages: list[dict[str, Any]]) -> Iterator[ToolUse]:
    results = _last(messages, "role", "tool")
    if not results or len(results) == len(messages):
        return
    calls: dict[str, Call] = {}
    for call in _objects(messages[-len(results) - 1].get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict):
            named = cast("dict[str, Any]", function)
            _note(calls, call.get("id"), named.get("name"), _parsed(named.get("arguments")))
    for result in results:
        yield from _use(calls, result.get("tool_call_id"), result.get("content"))


def _of_messages(messages: list[dict[str, Any]]) -> Iterator[ToolUse]:
    if len(messages) < 2:
        return
    calls: dict[str, Call] = {}
    for block in _objects(messages[-2].get("content")):
        if block.get("type") == "tool_use":
            _note(calls, block.get("id"), block.get("name"), block.get("input"))
    for block in _objects(messages[-1].get("content")):
        if block.get("type") == "tool_result":
            yield from _use(calls, block.get("tool_use_id"), block.get("content"), block.get("is_error") is True)


def _of_responses(items: list[dict[str, Any]]) -> Iterator[ToolUse]:
    results = _last(items, "type", "function_call_output")
    calls: dict[str, Call] = {}
    for call in _last(items[: len(items) - len(results)], "type", "function_call"):
        _note(calls, call.get("call_id"), call.get("name"), _parsed(call.get("arguments")))
    for result in results:
        yield from _use(calls, result.get("call_id"), result.get("output"))


def _last(items: list[dict[str, Any]], field: str, value: str) -> list[dict[str, Any]]:
    """The unbroken run of items with this value in a field at the end, in order."""
    return list(takewhile(lambda item: item.get(field) == value, reversed(items)))[::-1]


def _note(calls: dict[str, Call], call_id: Any, name: Any, arguments: Any) -> None:
    if isinstance(call_id, str) and isinstance(name, str) and name:
        calls[call_id] = (name[:MAX_NAME], arguments)


def _use(calls: Mapping[str, Call], call_id: Any, content: Any, failed: bool = False) -> Iterator[ToolUse]:
    if isinstance(call_id, str) and call_id in calls:
        tool, arguments = calls[call_id]
        result = digest(msgspec.json.encode(content, order="sorted"), size=16)
        yield ToolUse(call_id=call_id, tool=tool, arguments=arguments, result=result, failed=failed)


def _parsed(arguments: Any) -> Any:
    """Arguments as callers write them: JSON in a string, or already an object."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return None


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
