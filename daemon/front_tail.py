"""The end of what an answer says, of which the last word may say that its task is over.

While a stream passes, only its last events with text are kept, as they came. They are read once, when the answer is
over and somebody asks, from the last one back until enough is known. Reasoning and calls of tools are not text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import msgspec

from radixdeck.policies.identity.prompts import COMPLETIONS_ROUTE, GENERATE_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE

KEPT_BYTES = 1 << 15
"""About a hundred events, a token each; a larger one is kept alone."""
ENOUGH_CHARS = 64
"""A word, what may follow it, and some of what stands before."""
_LETTER = "x"
"""Stands for what comes before the text that is known: it might be the beginning of the same word."""

Piece = tuple[str, bool]
"""Text of an event, and whether it is all the text that there is up to here."""


class _Form(NamedTuple):
    """How a route writes its answers. `mark`: is in every event with text; `whole`: text of an answer that was not
    streamed; `pieces`: of its events, the last one first."""

    mark: bytes
    whole: Callable[[bytes], str]
    pieces: Callable[[Iterator[bytes]], Iterator[Piece]]


class AnswerTail:
    """`feed` it whole events, or a whole JSON body, and ask for `text` at the end."""

    def __init__(self, route: str) -> None:
        self._form = _FORMS.get(route, _CHAT)
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._cut = False

    def feed(self, data: bytes) -> None:
        if self._form.mark not in data:
            return
        self._kept.append(data)
        self._kept_bytes += len(data)
        while self._kept_bytes - len(self._kept[0]) >= KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft())
            self._cut = True

    def text(self) -> str:
        """The end of the answer's text, at least its last ENOUGH_CHARS characters but for white space after them; ''
        if it has none, several answers are in it, or it cannot be read."""
        try:
            if self._kept and self._kept[-1][:1] == b"{":
                return self._form.whole(self._kept[-1])
            return self._end_of_stream()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, _SeveralAnswers):
            return ""

    def _end_of_stream(self) -> str:
        end = ""
        for text, is_all in self._form.pieces(self._last_first()):
            end = text + end if end else text.rstrip()
            if is_all:
                return end
            if len(end) >= ENOUGH_CHARS:
                return _LETTER + end
        return _LETTER + end if self._cut else end

    def _last_first(self) -> Iterator[bytes]:
        """The JSON of each event."""
        for data in reversed(self._kept):
            for line in reversed(data.splitlines()):
                if line.startswith(b"data:") and (event := line[5:].lstrip()).startswith(b"{"):
                    yield event


class _SeveralAnswers(ValueError):
    """Which of them somebody will go by is not known."""


# ---- chat completions and completions --------------------------------------------------------------------------------


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    text: str | None = None


class _Choices(msgspec.Struct):
    choices: list[_Choice] = []


_read_choices = msgspec.json.Decoder(_Choices).decode


def _of_choices(data: bytes) -> str:
    choices = _read_choices(data).choices
    if len(choices) > 1 or any(choice.index for choice in choices):
        raise _SeveralAnswers
    for choice in choices:
        said = choice.message or choice.delta
        return (said.content if said else choice.text) or ""
    return ""


# ---- /generate -------------------------------------------------------------------------------------------------------


class _Generated(msgspec.Struct):
    text: str | None = None


_read_generated = msgspec.json.Decoder(_Generated).decode


def _of_generated(data: bytes) -> str:
    return _read_generated(data).text or ""


def _repeated(events: Iterator[bytes]) -> Iterator[Piece]:
    """Each event repeats all text so far, unless the engine was told to send only what is new: then it does not begin
    as the one before. Nor does it where letters of a stop word are taken back, but the end is the same then."""
    texts = [text for text in map(_of_generated, events) if text]
    repeats = all(text.startswith(before) for text, before in pairwise(texts))
    return ((text, repeats and len(texts) > 1) for text in texts)


# ---- Anthropic messages ----------------------------------------------------------------------------------------------


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Blocks(msgspec.Struct):
    content: list[_Part] = []


class _BlockEvent(msgspec.Struct):
    delta: _Part | None = None


_read_blocks = msgspec.json.Decoder(_Blocks).decode
_read_block_event = msgspec.json.Decoder(_BlockEvent).decode


def _of_blocks(data: bytes) -> str:
    return _joined(_read_blocks(data).content, "text")


def _of_block_event(data: bytes) -> str:
    delta = _read_block_event(data).delta
    return _joined([delta], "text_delta") if delta else ""


def _joined(parts: list[_Part], kind: str) -> str:
    return "".join(part.text or "" for part in parts if part.type == kind)


# ---- responses -------------------------------------------------------------------------------------------------------


class _Item(msgspec.Struct):
    type: str = ""
    content: list[_Part] | None = None


class _Response(msgspec.Struct):
    output: list[_Item] = []


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    delta: str | None = None
    response: _Response | None = None


_read_response = msgspec.json.Decoder(_Response).decode
_read_response_event = msgspec.json.Decoder(_ResponseEvent).decode


def _of_whole_response(data: bytes) -> str:
    return _of_response(_read_response(data))


def _of_response(response: _Response) -> str:
    messages = [item.content or [] for item in response.output if item.type == "message"]
    return _joined(messages[-1], "output_text") if messages else ""


def _of_response_events(events: Iterator[bytes]) -> Iterator[Piece]:
    """The last event repeats the whole answer."""
    for event in map(_read_response_event, events):
        if event.type == "response.output_text.delta":
            yield event.delta or "", False
        elif event.response and (text := _of_response(event.response)):
            yield text, True


def _one_by_one(read: Callable[[bytes], str], events: Iterator[bytes]) -> Iterator[Piece]:
    return ((read(event), False) for event in events)


_CHAT = _Form(b'"content":', _of_choices, partial(_one_by_one, _of_choices))
_FORMS = {
    COMPLETIONS_ROUTE: _Form(b'"text":', _of_choices, partial(_one_by_one, _of_choices)),
    GENERATE_ROUTE: _Form(b'"text":', _of_generated, _repeated),
    MESSAGES_ROUTE: _Form(b'"text', _of_blocks, partial(_one_by_one, _of_block_event)),
    RESPONSES_ROUTE: _Form(b"output_text", _of_whole_response, _of_response_events),
}
