"""Reading answers as they pass: the same facts however the bytes are cut, and nothing made up from what is said."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from front_harness import TOOL_CALL, chat_chunk, event
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from radixdeck.daemon.front_access import Access, is_loopback
from radixdeck.daemon.front_errors import Refusal
from radixdeck.daemon.front_sse import AnswerWatch, EventCutter

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
TRICK = '"finish_reason":"length","usage":{"prompt_tokens":99},"tool_calls":[{"function":{"name":"trick"'


def facts(watch: AnswerWatch) -> tuple[Any, ...]:
    return watch.begun, watch.finish, watch.prompt_tokens, watch.output_tokens, watch.tools


def read(route: str, *events: bytes) -> tuple[Any, ...]:
    watch = AnswerWatch(route)
    for data in events:
        watch.feed(data)
    return facts(watch)


STREAM = b"".join(
    [
        chat_chunk({"role": "assistant", "content": ""}),
        chat_chunk({"content": TRICK}),
        chat_chunk({"content": "\n\nü"}),
        chat_chunk({"tool_calls": [TOOL_CALL]}),
        chat_chunk({}, "tool_calls"),
        event(id="x", choices=[], usage={"prompt_tokens": 11, "total_tokens": 14, "completion_tokens": 3}),
        b"data: [DONE]\n\n",
    ]
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_cuts_change_neither_bytes_nor_facts(cuts: list[int]) -> None:
    cutter, watch, passed = EventCutter(), AnswerWatch(CHAT), b""
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        events = cutter.feed(STREAM[start:end])
        assert events == b"" or events.endswith(b"\n\n")
        watch.feed(events)
        passed += events
    assert passed + cutter.rest() == STREAM
    assert facts(watch) == (True, "tool_calls", 11, 3, ("search",))


def test_what_is_said_is_not_taken_for_what_is_so() -> None:
    answer = {"choices": [{"message": {"content": TRICK}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5}}
    assert read(CHAT, json.dumps(answer).encode()) == (True, "stop", 5, None, ())


def test_the_first_event_of_a_stream_is_not_its_first_content() -> None:
    assert not read(CHAT, chat_chunk({"role": "assistant", "content": ""}))[0]
    assert read(CHAT, chat_chunk({"tool_calls": [TOOL_CALL]}))[0]
    assert read(CHAT, chat_chunk({"reasoning_content": "hm"}))[0]


@pytest.mark.parametrize(
    ("said", "finish"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "tool_calls"), ("abort", "abort"), ("odd", "unknown")],
)
def test_finish_reasons(said: str, finish: str) -> None:
    assert read(CHAT, chat_chunk({}, said))[1] == finish
    meta = {"text": "x", "meta_info": {"finish_reason": {"type": said}, "prompt_tokens": 7, "completion_tokens": 2}}
    assert read("/generate", json.dumps(meta).encode()) == (True, finish, 7, 2, ())


def test_token_ids_are_content_where_an_engine_answers_in_them() -> None:
    watch = AnswerWatch("/generate")
    watch.feed(event(output_ids=[], meta_info={"finish_reason": None}))
    assert not watch.begun
    for _ in range(3):
        watch.feed(event(output_ids=[5, 7], meta_info={"finish_reason": None}))
    assert watch.streamed == 3
    watch.feed(event(text="hi", output_ids=[5, 7], meta_info={"finish_reason": None}))
    assert watch.streamed == 4, "an event counts once"
    assert not read(CHAT, event(output_ids=[5]))[0]


def test_anthropic_messages() -> None:
    start = event(
        type="message_start", message={"content": [], "usage": {"input_tokens": 9, "cache_read_input_tokens": 4}}
    )
    tool = event(
        type="content_block_start", content_block={"type": "tool_use", "id": "t", "name": "search", "input": {}}
    )
    delta = event(type="content_block_delta", delta={"type": "text_delta", "text": "hi"})
    end = event(type="message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 6})
    assert read(MESSAGES, start, delta, tool, end) == (True, "tool_calls", 13, 6, ("search",))


def test_responses() -> None:
    created = event(type="response.created", response={"status": "in_progress", "tools": [{"name": "search"}]})
    delta = event(type="response.output_text.delta", delta="hi")
    done = {"status": "completed", "output": [{"type": "message"}], "usage": {"input_tokens": 9, "output_tokens": 2}}
    assert not read(RESPONSES, created)[0]
    assert read(RESPONSES, created, delta, event(type="response.completed", response=done)) == (True, "stop", 9, 2, ())
    called = {**done, "output": [{"type": "function_call", "name": "search", "arguments": "{}"}]}
    assert read(RESPONSES, event(type="response.completed", response=called))[1] == "tool_calls"


def test_a_batch_is_summed_and_an_error_event_is_an_error() -> None:
    batch = [{"meta_info": {"prompt_tokens": n, "completion_tokens": 1}} for n in (3, 4)]
    assert read("/generate", json.dumps(batch, separators=(",", ":")).encode())[2:4] == (7, 2)
    assert read(CHAT, event(error={"message": "no"}))[1] == "error"


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    cutter = EventCutter()
    assert cutter.feed(data) + cutter.rest() == data
    for route in (CHAT, MESSAGES, RESPONSES):
        read(route, data)


def test_an_event_without_an_end_is_not_held_for_ever() -> None:
    cutter = EventCutter()
    assert cutter.feed(b"x" * (2 << 20)) == b"x" * (2 << 20)


def test_administration_is_local() -> None:
    access = Access(None)
    access.check("POST", "/flush_cache", {}, "127.0.0.1", "default")
    access.check("POST", "/v1/chat/completions", {}, "192.0.2.1", "default")
    access.check("GET", "/health", {}, "2001:db8::1", "default")
    for path in ("/flush_cache", "/abort_request", "/update_weights_from_disk", "/server_info", "/anything/new"):
        for remote in ("192.0.2.1", "2001:db8::1", None, "nonsense"):
            with pytest.raises(Refusal, match="only local programs"):
                access.check("POST", path, {}, remote, "default")
    assert is_loopback("::1")
    assert is_loopback("127.8.8.8")
    assert not is_loopback("::ffff:192.0.2.1")


@pytest.mark.parametrize(
    "name",
    [
        "x-override-rid", "X-Override-Priority", "x-override-bootstrap-host", "x-override-bootstrap-port",
        "x-override-bootstrap-room", "x-override-conversation-id", "x-override-routed-dp-rank",
        "x-override-disagg-prefill-dp-rank", "X-OVERRIDE-what-comes-next",
    ],
)  # fmt: skip
def test_what_we_have_sglang_override_no_caller_does(name: str) -> None:
    headers = CIMultiDict([(name, "7"), (name.lower(), "8"), ("X-Kept", "yes")])
    assert dict(Access(None).forwarded(headers)) == {"X-Kept": "yes"}


def test_headers_of_one_connection_and_forged_identities_stay_here() -> None:
    headers = CIMultiDict(
        {
            "Host": "x",
            "Connection": "keep-alive, X-Mine",
            "X-Mine": "1",
            "Transfer-Encoding": "chunked",
            "x-override-rid": "other",
            "x-smg-routing-key": 'radixdeck:{"agent":"other"}',
            "Authorization": "Bearer engine-key",
            "X-Kept": "yes",
        }
    )
    assert dict(Access(None).forwarded(headers)) == {"Authorization": "Bearer engine-key", "X-Kept": "yes"}
    assert dict(Access({"k": "t"}).forwarded(headers)) == {"X-Kept": "yes"}
    forged = [("x-smg-routing-key", "mine"), ("X-Smg-Routing-Key", 'radixdeck:{"agent":"other"}')]
    assert not Access(None).forwarded(CIMultiDict(forged))
    assert dict(Access(None).forwarded(CIMultiDict({"x-smg-routing-key": "mine"}))) == {"x-smg-routing-key": "mine"}
