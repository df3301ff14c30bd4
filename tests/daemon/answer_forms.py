"""Answers in the form of each route: whole, and in streams whose events say one piece each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from front_harness import chat_chunk, event

CHAT, COMPLETIONS, GENERATE = "/v1/chat/completions", "/v1/completions", "/generate"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"

Stream = Callable[[list[str], str], list[bytes]]


def chat_stream(pieces: list[str], finish: str) -> list[bytes]:
    thought = chat_chunk({"reasoning_content": "I say TERMINATE"})
    usage = event(id="x", choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2})
    said = [chat_chunk({"role": "assistant", "content": ""}), thought, *(chat_chunk({"content": p}) for p in pieces)]
    return [*said, chat_chunk({"reasoning_content": None}, finish), usage, b"data: [DONE]\n\n"]


def completions_stream(pieces: list[str], finish: str) -> list[bytes]:
    said = [event(choices=[{"index": 0, "text": piece, "finish_reason": None}]) for piece in pieces]
    return [*said, event(choices=[{"index": 0, "text": "", "finish_reason": finish}]), b"data: [DONE]\n\n"]


def generate_stream(pieces: list[str], finish: str) -> list[bytes]:
    said = [
        event(text="".join(pieces[: n + 1]), output_ids=[1] * n, meta_info={"finish_reason": None})
        for n in range(len(pieces))
    ]
    last = event(text="".join(pieces), output_ids=[], meta_info={"finish_reason": {"type": finish}})
    return [*said, last, b"data: [DONE]\n\n"]


def new_text_only(pieces: list[str], finish: str) -> list[bytes]:
    said = [event(text=piece, output_ids=[1], meta_info={"finish_reason": None}) for piece in pieces]
    return [*said, event(text="", output_ids=[], meta_info={"finish_reason": {"type": finish}})]


def named(**fields: Any) -> bytes:
    return b"event: " + fields["type"].encode() + b"\n" + event(**fields)


def messages_stream(pieces: list[str], finish: str) -> list[bytes]:
    reason = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}.get(finish, finish)
    deltas = [named(type="content_block_delta", index=1, delta={"type": "text_delta", "text": p}) for p in pieces]
    return [
        named(type="message_start", message={"content": [], "usage": {"input_tokens": 1}}),
        named(type="content_block_delta", delta={"type": "thinking_delta", "thinking": "I say TERMINATE"}),
        named(type="content_block_start", index=1, content_block={"type": "text", "text": ""}),
        *deltas,
        named(type="content_block_stop", index=1),
        named(type="message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 2}),
        named(type="message_stop"),
    ]


def response(text: str, finish: str) -> dict[str, Any]:
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "I say TERMINATE"}], "summary": []}
    message = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    call = [{"type": "function_call", "name": "search", "arguments": "{}"}] if finish == "tool_calls" else []
    status = {"stop": "completed", "length": "incomplete", "tool_calls": "completed"}.get(finish, "failed")
    return {"status": status, "text": {"format": None}, "output": [thought, message, *call]}


def responses_stream(pieces: list[str], finish: str) -> list[bytes]:
    done = response("".join(pieces), finish)
    return [
        *responses_deltas(pieces, finish)[:-1],
        named(type="response.output_item.done", item=done["output"][1]),
        named(type=f"response.{done['status']}", response=done),
    ]


def responses_deltas(pieces: list[str], finish: str) -> list[bytes]:
    """As it is where the last event does not repeat what was said."""
    done = response("", finish)
    bare = {**done, "output": [item for item in done["output"] if item["type"] == "function_call"]}
    return [
        named(type="response.created", response={"status": "in_progress", "output": []}),
        named(type="response.reasoning_text.delta", delta="I say TERMINATE"),
        *(named(type="response.output_text.delta", delta=piece, logprobs=[]) for piece in pieces),
        named(type=f"response.{done['status']}", response=bare),
    ]


def chat_body(text: str, finish: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "reasoning_content": "I say TERMINATE"}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": {"prompt_tokens": 1}}


def messages_body(text: str, finish: str) -> dict[str, Any]:
    reason = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}.get(finish, finish)
    blocks = [{"type": "text", "text": text}, {"type": "thinking", "thinking": "I say TERMINATE"}]
    return {"content": blocks, "stop_reason": reason}


BODIES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    CHAT: chat_body,
    COMPLETIONS: lambda text, finish: {"choices": [{"index": 0, "text": text, "finish_reason": finish}]},
    GENERATE: lambda text, finish: {"text": text, "meta_info": {"finish_reason": {"type": finish}}},
    MESSAGES: messages_body,
    RESPONSES: response,
}
STREAMS: list[tuple[str, Stream]] = [
    (CHAT, chat_stream), (COMPLETIONS, completions_stream), (GENERATE, generate_stream), (GENERATE, new_text_only),
    (MESSAGES, messages_stream), (RESPONSES, responses_stream), (RESPONSES, responses_deltas),
]  # fmt: skip
