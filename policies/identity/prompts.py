"""What identity reads off a request body: the agent's head (system messages and tools), the conversation as a chain
of rolling hashes, or the raw prompt. Any JSON object is accepted; what has an unexpected shape counts as absent."""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Literal, cast

import msgspec

HEAD_ROLES = ("system", "developer")
RawKind = Literal["", "text", "ids", "opening"]

CHAT_ROUTES = frozenset({"/v1/chat/completions", "/invocations"})
MESSAGES_ROUTE = "/v1/messages"
RESPONSES_ROUTE = "/v1/responses"
COMPLETIONS_ROUTE = "/v1/completions"
GENERATE_ROUTE = "/generate"

_CODE_POINTS = 0x110000
_NATIVE_UTF_32 = f"utf-32-{'le' if sys.byteorder == 'little' else 'be'}"


class Prompt(msgspec.Struct, frozen=True):
    """`fingerprint`: hash of head messages and tools, '' where there are none; `head`: text of the head messages;
    `chain`: one rolling digest per non-system message; `raw`: the prompt text (`kind` text), the token ids as
    characters (ids), or the first message of a conversation without a head (opening)."""

    fingerprint: str = ""
    head: str = ""
    chain: tuple[bytes, ...] = ()
    raw: str = ""
    kind: RawKind = ""


def read_prompt(route: str, body: Mapping[str, Any]) -> Prompt:
    """Read the body of a generating route. Cost: one pass over the prompt."""
    if route == COMPLETIONS_ROUTE:
        return _raw_prompt(body.get("prompt"))
    if route == GENERATE_ROUTE:
        return _raw_prompt(body.get("text") if body.get("text") is not None else body.get("input_ids"))
    if route == RESPONSES_ROUTE:
        return _conversation(_responses_messages(body), body)
    messages = _objects(body.get("messages"))
    if route == MESSAGES_ROUTE and (system := text_of(body.get("system"))):
        messages = [{"role": "system", "content": system}, *messages]
    return _conversation(messages, body)


def head_messages(messages: Any) -> list[dict[str, Any]]:
    """The system and developer messages before the first other one, of whatever a body has as its messages."""
    return list(takewhile(lambda message: message.get("role") in HEAD_ROLES, _objects(messages)))


def text_of(content: Any) -> str:
    """Text of a message's content: a string, or the text parts of a list joined."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in _objects(content) if isinstance(part.get("text"), str))


def digest(*parts: bytes, size: int = 8) -> bytes:
    joined = hashlib.blake2b(digest_size=size)
    for part in parts:
        joined.update(part)
    return joined.digest()


def _conversation(messages: list[dict[str, Any]], body: Mapping[str, Any]) -> Prompt:
    head = [(str(message.get("role")), text_of(message.get("content"))) for message in head_messages(messages)]
    tools = body.get("tools") or body.get("functions")
    fingerprint = digest(_canonical([head, tools or None])).hex() if head or tools else ""
    turns = [message for message in messages if message.get("role") not in HEAD_ROLES]
    opening = text_of(turns[0].get("content")) if turns and not fingerprint else ""
    return Prompt(
        fingerprint=fingerprint,
        head="\n".join(text for _, text in head),
        chain=_chain(turns),
        raw=opening,
        kind="opening" if opening else "",
    )


def _chain(turns: list[dict[str, Any]]) -> tuple[bytes, ...]:
    chain: list[bytes] = []
    last = b""
    for turn in turns:
        content = turn.get("content")
        said = content if isinstance(content, str) or content is None else _plain(content)
        kept = [turn.get("role"), said, turn.get("tool_calls"), turn.get("tool_call_id"), turn.get("name")]
        if "role" not in turn:
            kept.append(turn)
        last = digest(last, _canonical(kept), size=12)
        chain.append(last)
    return tuple(chain)


def _plain(content: Any) -> Any:
    """A list of nothing but text parts says the same as its text; other content stays as it is."""
    parts = _objects(content)
    only_text = bool(parts) and all(isinstance(part.get("text"), str) for part in parts)
    return text_of(content) if only_text else content


def _raw_prompt(prompt: Any) -> Prompt:
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        prompt = cast("list[Any]", prompt)[0]
    if isinstance(prompt, str):
        return Prompt(raw=prompt, kind="text") if prompt else Prompt()
    if isinstance(prompt, list) and set(map(type, cast("list[Any]", prompt))) == {int}:
        return Prompt(raw=_as_characters(cast("list[int]", prompt)), kind="ids")
    return Prompt()


def _as_characters(ids: list[int]) -> str:
    """One character per token id. In one go, since a prompt of 100,000 ids would hold up all other streams; an id that
    is no code point, as no tokenizer has, goes round."""
    try:
        return array("I", ids).tobytes().decode(_NATIVE_UTF_32, "surrogatepass")
    except (OverflowError, UnicodeDecodeError):
        return "".join([chr(i % _CODE_POINTS) for i in ids])


def _responses_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if isinstance(body.get("instructions"), str):
        messages.append({"role": "system", "content": body["instructions"]})
    asked = body.get("input")
    return [*messages, {"role": "user", "content": asked}] if isinstance(asked, str) else messages + _objects(asked)


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _canonical(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
