"""The last word of an answer is known on every route, however its events cut it; and never made up."""

from __future__ import annotations

import json

import pytest
from answer_forms import BODIES, CHAT, COMPLETIONS, GENERATE, MESSAGES, STREAMS, Stream
from front_harness import TOOL_CALL, chat_chunk, event, stack
from hypothesis import given
from hypothesis import strategies as st

from radixdeck.daemon.front_sse import AnswerWatch, EventCutter
from radixdeck.daemon.front_tail import KEPT_BYTES, AnswerTail
from radixdeck.policies.events import AnswerGiven, ToolCalled
from radixdeck.policies.identity.last_words import CLOSING_WORDS

WHO = {"x-agent-id": "critic", "x-session-id": "s1"}
OVER = 'All "done" \\ ü.\n\n**TERMINATE**\n'
NOT_OVER = "x is DETERMINATE"
WORD = CLOSING_WORDS[0]

every_stream = pytest.mark.parametrize(("route", "stream"), STREAMS)
every_body = pytest.mark.parametrize("route", BODIES)


def closes(route: str, *fed: bytes) -> bool:
    watch = AnswerWatch(route)
    for data in fed:
        watch.feed(data)
    return watch.closes(CLOSING_WORDS)


def escaped(data: bytes) -> bytes:
    """The same JSON, with letters written as \\uXXXX."""
    return data.replace(b"TERM", b"T\\u0045RM").replace(b"NATE", b"N\\u0041TE")


# ---- streams ---------------------------------------------------------------------------------------------------------


@every_stream
def test_a_word_may_be_cut_over_events_anywhere(route: str, stream: Stream) -> None:
    for text, over in ((OVER, True), (NOT_OVER, False)):
        for first in range(len(text) + 1):
            for second in (first, first + 1, first + 4):
                pieces = [text[:first], text[first:second], text[second:]]
                assert closes(route, *stream(pieces, "stop")) is over, pieces
        assert closes(route, *stream(list(text), "stop")) is over


@every_stream
def test_the_word_may_be_all_that_is_said(route: str, stream: Stream) -> None:
    for cut in range(len(WORD)):
        assert closes(route, *stream([WORD[:cut], WORD[cut:]], "stop"))


@every_stream
def test_it_is_a_whole_word_however_much_follows(route: str, stream: Stream) -> None:
    ruled = WORD + "\n" + "-" * 200
    assert not closes(route, *stream(["DE", ruled], "stop"))
    assert closes(route, *stream(["so", " " + ruled + "\n" * 200], "stop"))


@every_stream
def test_events_may_come_together_or_in_bits(route: str, stream: Stream) -> None:
    data = b"".join(stream(["Go. TER", "MIN", "ATE"], "stop"))
    assert closes(route, data)
    for step in (1, 7, 100):
        cutter = EventCutter()
        assert closes(route, *(cutter.feed(data[n : n + step]) for n in range(0, len(data), step)))


@every_stream
def test_letters_may_be_written_as_numbers(route: str, stream: Stream) -> None:
    events = [escaped(data) for data in stream(["so TERMI", " TERM", "INATE"], "stop")]
    assert any(b"\\u0045" in data for data in events)
    assert closes(route, *events)


@every_stream
def test_what_was_thought_was_not_said(route: str, stream: Stream) -> None:
    assert not closes(route, *stream([], "stop"))
    assert not closes(route, *stream(["Well."], "stop"))


@every_stream
@pytest.mark.parametrize("finish", ["length", "tool_calls", "abort", "error", "odd"])
def test_an_answer_that_was_cut_off_or_calls_a_tool_does_not_close(route: str, stream: Stream, finish: str) -> None:
    assert not closes(route, *stream(["so TERMINATE"], finish))


@every_stream
def test_of_a_long_answer_little_is_kept(route: str, stream: Stream) -> None:
    pieces = [f"word {n} " for n in range(1500)]
    for last, over in ((["TERMI", "NATE", "\n"], True), (["DE", "TERMI", "NATE"], False)):
        watch, most = AnswerWatch(route), 0
        for data in stream([*pieces, *last], "stop"):
            watch.feed(data)
            most = max(most, len(data))
            kept: list[bytes] = list(watch._tail._kept)  # pyright: ignore[reportPrivateUsage]
            assert sum(map(len, kept)) < KEPT_BYTES + most
        assert watch.closes(CLOSING_WORDS) is over


@every_stream
def test_a_word_whose_beginning_may_be_lost_is_not_taken_for_whole(route: str, stream: Stream) -> None:
    def large(*pieces: str) -> list[bytes]:
        pad = b'{"pad":"' + b"p" * KEPT_BYTES + b'",'
        return [data.replace(b"{", pad, 1) if WORD in str(data) else data for data in stream([*pieces], "stop")]

    assert not closes(route, *large("DE", WORD))
    assert closes(route, *large("so", " " + WORD))


def test_a_stop_word_that_was_taken_back_was_not_said() -> None:
    texts = ["so", "so TERMINATE ST", "so TERMINATE "]
    events = [event(text=text, meta_info={"finish_reason": None}) for text in texts]
    assert closes(GENERATE, *events, event(text=texts[-1], meta_info={"finish_reason": {"type": "stop"}}))


@pytest.mark.parametrize("route", [CHAT, COMPLETIONS])
def test_which_of_several_streamed_answers_counts_is_not_known(route: str) -> None:
    said = {"text": WORD} if route == COMPLETIONS else {"delta": {"content": WORD}}
    events = [event(choices=[{"index": n, **said, "finish_reason": None}]) for n in (0, 1)]
    assert not closes(route, *events, event(choices=[{"index": 0, "text": "", "finish_reason": "stop"}]))


def test_a_chat_that_calls_a_tool_and_says_stop_does_not_close() -> None:
    called = chat_chunk({"tool_calls": [TOOL_CALL]})
    assert not closes(CHAT, chat_chunk({"content": WORD}), called, chat_chunk({}, "stop"))


# ---- whole answers ---------------------------------------------------------------------------------------------------


@every_body
def test_a_whole_answer_is_read(route: str) -> None:
    for text, over in (
        (OVER, True),
        (NOT_OVER, False),
        ("Well.", False),
        ("", False),
        ("y" * 100_000 + " " + WORD, True),
    ):
        body = json.dumps(BODIES[route](text, "stop")).encode()
        assert closes(route, body) is over
        assert closes(route, escaped(body)) is over
        for finish in ("length", "tool_calls", "abort", "error"):
            assert not closes(route, json.dumps(BODIES[route](text, finish)).encode())


@every_body
def test_no_words_close_nothing(route: str) -> None:
    watch = AnswerWatch(route)
    watch.feed(json.dumps(BODIES[route](OVER, "stop")).encode())
    assert not watch.closes(())
    assert watch.closes(("nothing", WORD))


def test_which_of_several_answers_counts_is_not_known() -> None:
    two = BODIES[COMPLETIONS](WORD, "stop")["choices"] * 2
    assert not closes(COMPLETIONS, json.dumps({"choices": two}).encode())
    assert not closes(GENERATE, json.dumps([BODIES[GENERATE](WORD, "stop")] * 2).encode())


@pytest.mark.parametrize(
    "content", ["null", "[]", '[{"type":"text","text":"TERMINATE"}]', "7", '"TERMINATE', '"\\ud800"']
)
def test_what_cannot_be_read_does_not_close(content: str) -> None:
    for route in BODIES:
        body = f'{{"finish_reason":"stop","choices":[{{"message":{{"content":{content}}}}}],"text":{content}}}'
        assert not closes(route, body.encode()) or (route == MESSAGES and content.startswith("["))
    deep = b'{"finish_reason":"stop","pad":' + b"[" * 100_000 + b',"content":"TERMINATE"'
    assert not closes(CHAT, deep)


@given(st.sampled_from(sorted(BODIES)), st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_can_be_fed(route: str, fed: list[bytes]) -> None:
    tail = AnswerTail(route)
    for data in fed:
        for around in (data, b'data: {"text":"output_text"' + data, b'{"content":"' + data):
            tail.feed(around)
            assert isinstance(tail.text(), str)


# ---- the front -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("words", "over"), [(["Done. TER", "MIN", "ATE."], True), (["DE", "TERMINATE"], False)])
async def test_the_front_tells_the_engine_that_an_answer_closes(stream: bool, words: list[str], over: bool) -> None:
    async with stack() as s:
        s.upstream.words, s.upstream.says = words, "".join(words)
        body = {"messages": [{"role": "user", "content": "go"}], "stream": stream}
        async with s.client.post(s.url + CHAT, json=body, headers=WHO) as answer:
            await answer.read()
        (given_,) = await s.until(AnswerGiven)
        assert (given_.session, given_.finish, given_.closes) == ("s1", "stop", over)


async def test_the_front_goes_by_the_words_it_was_told() -> None:
    for words, over in (((), False), (("DONE",), False), (("DONE", WORD), True)):
        async with stack(closing_words=words) as s:
            s.upstream.words, s.upstream.says = [WORD], WORD
            await s.chat("go", headers=WHO)
            assert (await s.until(AnswerGiven))[0].closes is over


async def test_of_several_answers_and_calls_of_tools_the_front_says_nothing() -> None:
    async with stack() as s:
        s.upstream.words, s.upstream.says = [WORD], WORD
        await s.chat("go", headers=WHO, n=2)
        assert not (await s.until(AnswerGiven))[0].closes
        s.upstream.tools = True
        async with s.client.post(s.url + CHAT, json={"messages": [], "stream": True}, headers=WHO) as answer:
            await answer.read()
        await s.until(ToolCalled)
        assert len(s.of(AnswerGiven)) == 1
