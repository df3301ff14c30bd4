"""What messages of MCP mean to a memory: which may change something, whose a call is, what of a result is kept."""

from __future__ import annotations

import json
from typing import Any, cast

from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, JSONRPCError, JSONRPCRequest, JSONRPCResponse

from radixdeck.policies.tools.calls import ToolCall
from radixdeck.policies.tools.canonical import NotCanonical, canonical

AGENT, SESSION = "radixdeck/agent", "radixdeck/session"
"""Where in `_meta` a client that runs several agents says whose call it is."""
TRANSPORT_META = frozenset({"progressToken", "traceparent", "tracestate", "baggage", AGENT, SESSION})
"""What a caller sends along that has no part in a result."""
HARMLESS = frozenset(
    {
        "initialize", "server/discover", "ping", "tools/list", "resources/list", "resources/templates/list",
        "resources/read", "resources/subscribe", "resources/unsubscribe", "prompts/list", "prompts/get",
        "completion/complete", "logging/setLevel", "subscriptions/listen", "tasks/get", "tasks/list", "tasks/result",
        "notifications/initialized", "notifications/progress",
    }
)  # fmt: skip
"""What a client may ask or tell without changing anything that tools read."""
NEWS = frozenset(
    {
        "notifications/tools/list_changed", "notifications/resources/list_changed", "notifications/resources/updated",
    }
)  # fmt: skip
"""How a server tells that something changed."""
SERVER_GONE, FORBIDDEN = -32000, -32003
"""Codes of the proxy's own errors: the server is lost, and the agent may not make this call."""
REFUSED = frozenset({INVALID_PARAMS, METHOD_NOT_FOUND})
"""Errors of a call that was never begun."""
AT_ANY_TIME = frozenset({"ping", "roots/list"})
RELATED_TASK = "io.modelcontextprotocol/related-task"
MAX_SAID = 1 << 18
"""Longer texts are not looked through."""


def kept_of(result: dict[str, Any]) -> tuple[bytes | None, bytes | None]:
    """A result as it is kept, and what of it has to be the same each time; None, None if it must not be kept."""
    plain = result.get("isError", False) is False and result.get("resultType", "complete") == "complete"
    if not plain or not isinstance(result.get("content"), list):
        return None, None
    try:
        return json.dumps(result).encode(), canonical({key: part for key, part in result.items() if key != "_meta"})
    except NotCanonical:
        return None, None


def is_asked_for_a_call(request: JSONRPCRequest) -> bool:
    """Whether a server may ask its client this for a call under way: other than at any time, or for a task."""
    meta = (request.params or {}).get("_meta")
    return request.method not in AT_ANY_TIME and not (isinstance(meta, dict) and RELATED_TASK in meta)


def is_lost(message: JSONRPCResponse | JSONRPCError) -> bool:
    """Whether this may be no answer of the tool, but what the way to it says."""
    return isinstance(message, JSONRPCError) and message.error.code not in REFUSED


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def call_of(request: JSONRPCRequest, agent: str, tenant: str) -> ToolCall:
    """Who calls what. All that is sent along and may have a part in the result is its context."""
    params = request.params or {}
    meta = params.get("_meta")
    told = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
    name, arguments = params.get("name"), params.get("arguments")
    more = {key: value for key, value in params.items() if key not in ("name", "arguments", "_meta")}
    return ToolCall(
        tool=text_of(name), arguments={} if arguments is None else arguments, agent=text_of(told.get(AGENT)) or agent,
        session=text_of(told.get(SESSION)), tenant=tenant,
        context=[{key: value for key, value in told.items() if key not in TRANSPORT_META}, more],
    )  # fmt: skip


def request_of(call: ToolCall, request_id: str) -> JSONRPCRequest:
    """The message that makes this call."""
    meta, more = cast("list[dict[str, Any]]", call.context)
    params = {"name": call.tool, "arguments": call.arguments, **more, **({"_meta": meta} if meta else {})}
    return JSONRPCRequest(jsonrpc="2.0", id=request_id, method="tools/call", params=params)


def said_of(answer: JSONRPCResponse | JSONRPCError) -> Any:
    """What an answer says, as JSON as far as it is; None if it is an error."""
    if isinstance(answer, JSONRPCError) or answer.result.get("isError", False) is not False:
        return None
    result = answer.result
    structured, content = result.get("structuredContent"), result.get("content")
    if structured is not None or not isinstance(content, list):
        return structured
    parts = [_said(cast("dict[str, Any]", part)) for part in cast("list[Any]", content) if isinstance(part, dict)]
    return parts[0] if len(parts) == 1 else parts


def _said(part: dict[str, Any]) -> Any:
    """One part of a content: JSON, or lines of text, or a text."""
    text = part.get("text")
    if not isinstance(text, str) or len(text) > MAX_SAID:
        return None
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    lines = text.splitlines()
    return lines if len(lines) > 1 else text
