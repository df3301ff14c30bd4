"""What a body asks for, as doorkeepers see it: models, tools, how much is to be written; and cutting the last down.

Whatever SGLang would take for a name or a number counts, so that nothing slips by in an unusual spelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from radixdeck.policies.doorkeeping import Asked
from radixdeck.policies.identity.prompts import CHAT_ROUTES, COMPLETIONS_ROUTE, GENERATE_ROUTE, RESPONSES_ROUTE
from radixdeck.policies.identity.who import Who

from .front_body import is_batch

BYTES_PER_TOKEN = 4
"""A usual ratio for English; only used until the engine says how long a prompt is."""
UNSAID = {COMPLETIONS_ROUTE: 16, GENERATE_ROUTE: 128}
"""What SGLang has written where a body of these routes does not say how much; on the others as much as fits."""
_STATEFUL = ("session_params", "bootstrap_host", "bootstrap_room")
"""What ties a request to one engine: its open sessions, and the other half of one that splits prefill and decode. Of
responses, SGLang keeps each for the next to go on from."""
DEFAULT_MODEL = "default"
"""What SGLang takes a request without a model for."""


def read_asked(route: str, body: Mapping[str, Any], who: Who, rid: str, size_bytes: int) -> Asked:
    """The request as doorkeepers see it. Reads only; anything of an unexpected shape counts as absent."""
    return Asked(
        rid=rid, agent=who.agent, called=who.called, session=who.session, tenant=who.tenant, route=route,
        models=_models(body), tools=tuple(dict.fromkeys(_tools(body))), output_tokens=_asked_tokens(route, body),
        about_tokens=size_bytes // BYTES_PER_TOKEN, batch=is_batch(body), streamed=body.get("stream") is True,
        stateful=route == RESPONSES_ROUTE or any(body.get(field) is not None for field in _STATEFUL),
    )  # fmt: skip


def limit_output(route: str, body: dict[str, Any], limit: int) -> None:
    """Have no more than `limit` tokens written per answer; `body` is changed."""
    if route == GENERATE_ROUTE:
        sampling = body.get("sampling_params")
        if isinstance(sampling, list):
            body["sampling_params"] = [_limited_params(item, limit) for item in cast("list[Any]", sampling)]
        else:
            body["sampling_params"] = _limited_params(sampling, limit)
        return
    fields, unsaid = _fields(route), UNSAID.get(route)
    for field in [field for field in fields if body.get(field) is not None] or fields[:1]:
        body[field] = _lower(body.get(field, unsaid), limit, least=1)


def _fields(route: str) -> tuple[str, ...]:
    """Where a route says how much is to be written; the first is what to set if a body says nothing."""
    if route == RESPONSES_ROUTE:
        return ("max_output_tokens",)
    return ("max_tokens", "max_completion_tokens") if route in CHAT_ROUTES else ("max_tokens",)


def _limited_params(sampling: Any, limit: int) -> Any:
    if sampling is not None and not isinstance(sampling, dict):
        return sampling  # refused when it is prepared
    params = cast("dict[str, Any]", sampling or {})
    return {**params, "max_new_tokens": _lower(params.get("max_new_tokens", UNSAID[GENERATE_ROUTE]), limit, least=0)}


def _lower(value: Any, limit: int, least: int) -> int:
    """`value` if it is a number of tokens within the limit. SGLang reads '5000' and 5000.0 as numbers too, and 0 on the
    chat routes as no limit at all."""
    return value if type(value) is int and least <= value <= limit else limit


def _asked_tokens(route: str, body: Mapping[str, Any]) -> int | None:
    if route == GENERATE_ROUTE:
        sampling = body.get("sampling_params")
        listed = cast("list[Any]", sampling) if isinstance(sampling, list) else [sampling]
        told = [cast("dict[str, Any]", one).get("max_new_tokens") for one in listed if isinstance(one, dict)]
    else:
        told = [body.get(field) for field in _fields(route)]
    return max((number for number in map(_number, told) if number is not None), default=None)


def _number(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None


def _models(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The model, and every adapter that is asked for beside it or, as SGLang reads it, in 'model:adapter'."""
    model = body.get("model")
    parts = [part.strip() for part in model.split(":", 1)] if isinstance(model, str) else [""]
    adapters = body.get("lora_path")
    listed = cast("list[Any]", adapters) if isinstance(adapters, list) else [adapters]
    named = [parts[0] or DEFAULT_MODEL, *filter(None, parts[1:])]
    return tuple(dict.fromkeys([*named, *(name for name in listed if isinstance(name, str) and name)]))


def _tools(body: Mapping[str, Any]) -> Iterator[str]:
    """Names of the tools offered, in the shapes of chat, messages and responses; a built-in tool goes by its type."""
    for field in ("tools", "functions"):
        tools = body.get(field)
        for tool in cast("list[Any]", tools) if isinstance(tools, list) else ():
            if isinstance(tool, dict):
                yield _tool_name(cast("dict[str, Any]", tool))


def _tool_name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    if isinstance(function, dict) and isinstance(name := cast("dict[str, Any]", function).get("name"), str):
        return name
    return next((name for name in (tool.get("name"), tool.get("type")) if isinstance(name, str)), "")
