"""Late requests on real sockets: whichever engine begins first is heard, the other is cancelled, and the caller never
sees the error of one while the other may still answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import aiohttp
import pytest
from hedge_stage import CHAT, HI, LATE_MS, TUNED, staged, until

from radixdeck.daemon.front_begun import Begun, begin
from radixdeck.policies.events import (
    RequestArrived,
    RequestFinished,
)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_slow_first_engine_is_given_up_for_a_fast_second(stream: bool) -> None:
    async with staged() as two:
        await two.learn(stream=stream)
        two.first.begins = asyncio.Event()
        if stream:
            text = await two.text()
            assert "Other" in text
            assert "Hel" not in text
            assert text.endswith("data: [DONE]\n\n")
        else:
            status, answer = await two.s.post(CHAT, HI)
            assert (status, answer["choices"][0]["message"]["content"]) == (200, "Hello")
        fact = await two.hedged()
        assert (fact.what, fact.by, fact.engine) == ("won", "hedging", two.second.url)
        assert 0.9 * LATE_MS / 1e3 <= fact.waited_s <= fact.answer_s
        assert fact.why.startswith("no answer after ")
        assert fact.wasted_tokens == 11
        await asyncio.wait_for(two.first.gone.wait(), 10)
        await asyncio.wait_for(two.first.abort_seen.wait(), 10)
        (arrived,), (finished,) = await two.s.until(RequestArrived), await two.s.until(RequestFinished)
        assert two.first.aborted == [arrived.rid] == [finished.rid]
        assert (finished.status, finished.finish, finished.prompt_tokens, finished.output_tokens) == (
            200,
            "stop",
            11,
            3,
        )
        assert two.second.aborted == []
        assert two.s.front.in_flight == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_slow_second_engine_is_given_up_for_the_first(stream: bool) -> None:
    async with staged() as two:
        await two.learn(stream=stream)
        two.first.begins, two.second.begins = asyncio.Event(), asyncio.Event()
        asking = asyncio.create_task(two.text() if stream else two.s.post(CHAT, HI))
        await until(lambda: two.asked() == (1, 1))
        two.first.begins.set()
        answer = await asking
        assert "Hel" in answer if stream else answer[0] == 200
        fact = await two.hedged()
        assert (fact.what, fact.saved_s, fact.wasted_tokens) == ("lost", 0.0, 11)
        await asyncio.wait_for(two.second.gone.wait(), 10)
        await asyncio.wait_for(two.second.abort_seen.wait(), 10)
        assert two.second.aborted == [fact.rid]
        assert two.first.aborted == []


@pytest.mark.parametrize("how", ["500", "307", "down", "error in its stream"])
async def test_an_error_of_the_second_engine_is_not_heard(how: str) -> None:
    async with staged() as two:
        await two.learn(stream=True)
        two.first.begins = asyncio.Event()
        two.second.status = int(how) if how.isdigit() else 200
        two.second.fails_in_stream = how == "error in its stream"
        if how == "down":
            await two.second.site.stop()
        asking = asyncio.create_task(two.text())
        await until(lambda: two.s.replicas.next() is None if how == "down" else two.asked() == (1, 1))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        assert not asking.done()
        two.first.begins.set()
        assert "Hel" in await asking
        fact = await two.hedged()
        assert (fact.what, fact.wasted_tokens) == ("failed", 0)
        assert "the second engine: " in fact.why
        assert two.first.aborted == []
        (finished,) = await two.s.until(RequestFinished)
        assert (finished.status, finished.finish) == (200, "stop")
        assert (two.s.replicas.next() is None) == (how == "down")


@pytest.mark.parametrize("how", ["500", "error in its stream"])
async def test_an_error_of_the_first_engine_is_not_heard_while_the_second_may_answer(how: str) -> None:
    async with staged() as two:
        await two.learn(stream=True)
        two.first.begins, two.second.begins = asyncio.Event(), asyncio.Event()
        two.first.status = 500 if how == "500" else 200
        two.first.fails_in_stream = how == "error in its stream"
        asking = asyncio.create_task(two.text())
        await until(lambda: two.asked() == (1, 1))
        two.first.begins.set()
        await asyncio.sleep(0.05)
        assert not asking.done()
        two.second.begins.set()
        assert "Other" in await asking
        fact = await two.hedged()
        assert (fact.what, fact.wasted_tokens) == ("won", 0)
        (finished,) = await two.s.until(RequestFinished)
        assert (finished.status, finished.finish) == (200, "stop")


async def test_that_the_first_engine_is_lost_is_not_heard_either() -> None:
    async with staged() as two:
        await two.learn()
        two.first.begins, two.second.begins, two.first.die = asyncio.Event(), asyncio.Event(), True
        asking = asyncio.create_task(two.s.post(CHAT, HI))
        await until(lambda: two.asked() == (1, 1))
        two.first.begins.set()
        await asyncio.sleep(0.05)
        assert not asking.done()
        two.second.begins.set()
        assert (await asking)[0] == 200
        assert (await two.hedged()).what == "won"


@pytest.mark.parametrize("second", [500, 404])
async def test_if_both_fail_the_first_ones_error_is_heard(second: int) -> None:
    async with staged() as two:
        await two.learn()
        two.first.begins = asyncio.Event()
        two.first.status, two.second.status = 503, second
        asking = asyncio.create_task(two.s.post(CHAT, HI))
        await until(lambda: two.asked() == (1, 1))
        two.first.begins.set()
        assert (await asking)[0] == 503
        assert (await two.hedged()).what == "failed"
        (finished,) = await two.s.until(RequestFinished)
        assert (finished.status, finished.finish) == (503, "error")


async def test_if_both_are_lost_the_caller_is_told_so_in_words() -> None:
    async with staged() as two:
        await two.learn()
        two.first.begins = asyncio.Event()
        two.first.die, two.second.die = True, True
        asking = asyncio.create_task(two.s.post(CHAT, HI))
        await until(lambda: two.asked() == (1, 1))
        two.first.begins.set()
        status, answer = await asking
        assert (status, answer["error"]["type"]) == (502, "engine_unavailable")
        assert (await two.hedged()).what == "failed"


async def test_an_error_that_comes_in_time_is_heard_at_once() -> None:
    async with staged(tunables={"hedging": {**TUNED, "floor_ms": 60_000.0}}) as two:
        await two.learn()
        two.first.status = 400
        assert (await two.s.post(CHAT, HI))[0] == 400
        assert two.asked() == (1, 0)


@pytest.mark.parametrize("who", ["first", "second"])
async def test_once_an_answer_has_begun_it_is_decided(who: str) -> None:
    """A stream that is cut after its first words ends in an error and is not sent again."""
    late_ms = LATE_MS if who == "second" else 500.0
    async with staged(tunables={"hedging": {**TUNED, "floor_ms": late_ms}}) as two:
        await two.learn(stream=True)
        one = two.first if who == "first" else two.second
        if who == "second":
            two.first.begins = asyncio.Event()
        one.gate, one.die = asyncio.Event(), True
        asking = asyncio.create_task(two.text())
        await asyncio.wait_for(one.reached.wait(), 10)
        await asyncio.sleep(1.5 * late_ms / 1e3)
        one.gate.set()
        text = await asking
        assert one.words[0] in text
        assert "engine_unavailable" in text
        assert two.asked() == (1, 0 if who == "first" else 1)
        (finished,) = await two.s.until(RequestFinished)
        assert finished.finish == "error"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_that_leaves_cancels_both(stream: bool) -> None:
    async with staged() as two:
        await two.learn(stream=stream)
        two.first.begins, two.second.begins = asyncio.Event(), asyncio.Event()
        asking = asyncio.create_task(two.text() if stream else two.s.post(CHAT, HI))
        await until(lambda: two.asked() == (1, 1))
        asking.cancel()
        for one in (two.first, two.second):
            await asyncio.wait_for(one.gone.wait(), 10)
            await asyncio.wait_for(one.abort_seen.wait(), 10)
        assert (await two.hedged()).what == "left"
        (finished,) = await two.s.until(RequestFinished)
        assert (finished.status, finished.finish) == (499, "abort")
        assert two.s.front.in_flight == 0


async def test_a_caller_that_leaves_while_only_the_second_may_answer_frees_what_came_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first engine's stream begins with an error and stays open."""
    answers = list[aiohttp.ClientResponse]()

    async def kept(sent: Awaitable[aiohttp.ClientResponse], route: str) -> Begun:
        begun = await begin(sent, route)
        answers.append(begun.answer)
        return begun

    monkeypatch.setattr("radixdeck.daemon.front_hedge.begin", kept)
    async with staged() as two:
        await two.learn(stream=True)
        answers.clear()
        two.first.begins, two.second.begins = asyncio.Event(), asyncio.Event()
        two.first.fails_in_stream, two.first.stays_open = True, asyncio.Event()
        asking = asyncio.create_task(two.text())
        await until(lambda: two.asked() == (1, 1))
        two.first.begins.set()
        await until(lambda: bool(answers))
        assert not answers[0].closed
        asking.cancel()
        assert (await two.hedged()).what == "left"
        assert answers[0].closed
        await asyncio.wait_for(two.first.gone.wait(), 10)


async def test_a_caller_that_leaves_the_second_engines_stream_cancels_that() -> None:
    async with staged() as two:
        await two.learn(stream=True)
        two.first.begins, two.second.gate = asyncio.Event(), asyncio.Event()
        async with two.s.client.post(two.s.url + CHAT, json={**HI, "stream": True}) as answer:
            assert b"Other" in await answer.content.readuntil(b"Other")
            answer.close()
        await asyncio.wait_for(two.second.gone.wait(), 10)
        await asyncio.wait_for(two.second.abort_seen.wait(), 10)
        fact = await two.hedged()
        assert fact.what == "won"
        assert two.second.aborted == [fact.rid]


async def test_front_stops_while_two_engines_are_asked() -> None:
    async with staged() as two:
        await two.learn()
        two.first.begins, two.second.begins = asyncio.Event(), asyncio.Event()
        asking = asyncio.create_task(two.s.post(CHAT, HI))
        await until(lambda: two.asked() == (1, 1))
        await two.s.front.stop()
        with pytest.raises((aiohttp.ClientError, AssertionError)):
            await asking
        assert (two.first.aborted, two.second.aborted) == ([two.first.last["rid"]], [two.first.last["rid"]])
