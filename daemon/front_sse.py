"""Reads answers as they pass, without decoding them: first content, finish reason, tokens, tools.

Inside a JSON string every quote is escaped, so a key written with bare quotes is a real key, and searching for it needs
no parser. Server-sent events are passed on whole, so that a stream that breaks never ends in half a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from radixdeck.policies.doorkeeping import MAX_NAME
from radixdeck.policies.events import FinishReason
from radixdeck.policies.identity.last_words import closes
from radixdeck.policies.identity.prompts import GENERATE_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE

from .front_tail import AnswerTail

_CONTENT = re.compile(
    rb'"(?:content|reasoning_content|text|partial_json|thinking|arguments|name)":\s*"[^"]', re.ASCII
)  # fmt: skip
_CONTENT_OR_IDS = re.compile(_CONTENT.pattern + rb'|"output_ids":\s*\[\s*\d', re.ASCII)
"""An engine without a tokenizer answers `/generate` in token ids alone."""
_DELTA = re.compile(rb'"delta":\s*"[^"]')
_FINISH = re.compile(rb'"(?:finish_reason|stop_reason)":\s*(?:\{"type":\s*)?"(\w+)"')
_STATUS = re.compile(rb'"status":\s*"(incomplete|failed|completed)"')
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens":\s*(\d+)')
_CACHED = re.compile(rb'"cache_read_input_tokens":\s*(\d+)')
_OUTPUT = re.compile(rb'"(?:completion|output)_tokens":\s*(\d+)')
_TOOL = re.compile(rb'(?:"function":\s*\{|"type":\s*"tool_use")[^{}]*?"name":\s*"([^"\\]+)"')
_FUNCTION_CALL = re.compile(rb'"type":\s*"function_call"')
_ERROR = re.compile(rb'(?:^|\n)data:\s*\{(?:"type":\s*"error",\s*)?"error":')

_FINISHES: dict[bytes, FinishReason] = {
    b"stop": "stop", b"end_turn": "stop", b"stop_sequence": "stop", b"completed": "stop", b"content_filter": "stop",
    b"length": "length", b"max_tokens": "length", b"incomplete": "length",
    b"tool_calls": "tool_calls", b"tool_use": "tool_calls", b"function_call": "tool_calls",
    b"abort": "abort", b"error": "error", b"failed": "error",
}  # fmt: skip
MAX_HELD_BYTES = 1 << 20


class AnswerWatch:
    """What is known of an answer after the bytes fed so far. Token counts are those SGLang reports. `streamed`: events
    with content, each of a token at least, counted as long as SGLang reports no output."""

    def __init__(self, route: str) -> None:
        self._responses = route == RESPONSES_ROUTE
        self._contents = {RESPONSES_ROUTE: _DELTA, GENERATE_ROUTE: _CONTENT_OR_IDS}.get(route, _CONTENT)
        self._messages = route == MESSAGES_ROUTE
        self._tail = AnswerTail(route)
        self.streamed = 0
        self.finish: FinishReason = "unknown"
        self.prompt_tokens: int | None = None
        self.output_tokens: int | None = None
        self.tools: tuple[str, ...] = ()

    @property
    def begun(self) -> bool:
        return self.streamed > 0

    @property
    def failed(self) -> bool:
        """Whether it says that it is an error, or was given up."""
        return self.finish in ("error", "abort")

    def closes(self, words: Sequence[str]) -> bool:
        """Whether its last word, when it is over, is one of `words`. Not if it was cut off or goes on with a tool."""
        return self.finish == "stop" and not self.tools and bool(words) and closes(self._tail.text(), words)

    def feed(self, data: bytes) -> None:
        """Read whole events, or a whole JSON body."""
        self._tail.feed(data)
        if not (self.output_tokens and self.streamed) and (contents := self._contents.findall(data)):
            self.streamed += min(len(contents), max(1, data.count(b"data:")))
        if b'_tokens"' in data:
            self._count_prompt(data)
            self.output_tokens = _count(_OUTPUT, data, self.output_tokens)
        if b'_reason"' in data and (reasons := _FINISH.findall(data)):
            self.finish = _FINISHES.get(reasons[-1], "unknown")
        if b'"tool' in data:
            self._add_tools(data)
        if self._responses and (states := _STATUS.findall(data)):
            self._response_state(states[-1], data)
        if _ERROR.search(data):
            self.finish = "error"

    def _count_prompt(self, data: bytes) -> None:
        """In Anthropic's shape the input tokens are only those that were not cached."""
        self.prompt_tokens = _count(_PROMPT, data, self.prompt_tokens)
        if self._messages and self.prompt_tokens is not None and _PROMPT.search(data):
            self.prompt_tokens += _count(_CACHED, data, 0) or 0

    def _add_tools(self, data: bytes) -> None:
        for name in _TOOL.findall(data):
            tool = name.decode("utf-8", "replace")[:MAX_NAME]
            if tool not in self.tools and len(self.tools) < 64 and not self._responses:
                self.tools = (*self.tools, tool)

    def _response_state(self, state: bytes, data: bytes) -> None:
        called = self.finish == "tool_calls" or _FUNCTION_CALL.search(data)
        self.finish = "tool_calls" if called and state == b"completed" else _FINISHES[state]


class EventCutter:
    """Cuts a byte stream after whole server-sent events."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """All bytes up to the end of the last whole event; the rest is held back for the next call."""
        data = self._held + data if self._held else data
        end = data.rfind(b"\n\n") + 2
        if end < 2:
            end = data.rfind(b"\r\n\r\n") + 4
            end = 0 if end < 4 else end
        if len(data) - end > MAX_HELD_BYTES:
            end = len(data)
        self._held = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        held, self._held = self._held, b""
        return held


def _count(pattern: re.Pattern[bytes], data: bytes, before: int | None) -> int | None:
    """The last count in a stream; of a batch's answer (a JSON list) the sum."""
    counts = [int(digits) for digits in pattern.findall(data)]
    if not counts:
        return before
    return sum(counts) if data[:1] == b"[" else counts[-1]
