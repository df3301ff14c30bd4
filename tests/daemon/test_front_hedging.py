"""Late requests on real sockets: whichever engine begins first is heard, the other is cancelled, and the caller never
sees the error of one while the other may still answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from front_harness import Stack, Upstream, serving, stack

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.daemon.front_hedge import MARK
from radixdeck.policies.door_host import DoorHost
from radixdeck.policies.events import (
    PolicySwitched,
    ReplicaChecked,
    RequestArrived,
    RequestFinished,
    RequestHedged,
    RequestHeld,
)

CHAT = "/v1/chat/completions"
LATE_MS = 60.0
TUNED = {"least_samples": 5.0, "floor_ms": LATE_MS, "budget": 1.0}
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


class Staged:
    """A front with two engines. `first`, `second`: what they do; `door`: has hedging on."""

    def __init__(self, s: Stack, second: Upstream, door: Door) -> None:
        self.s, self.first, self.second, self.door = s, s.upstream, second, door

    async def learn(self, **more: Any) -> None:
        """Have the policy see what is usual of requests like these."""
        for _ in range(6):
            assert (await self.s.post(CHAT, {**HI, **more}))[0] == 200
        self.first.requests.clear()
        self.second.requests.clear()
        self.s.reports.clear()

    async def text(self, **more: Any) -> str:
        """A stream to its end."""
        async with self.s.client.post(self.s.url + CHAT, json={**HI, "stream": True, **more}) as answer:
            assert answer.status == 200
            return await answer.text()

    async def hedged(self) -> RequestHedged:
        return (await self.s.until(RequestHedged))[0]

    def asked(self) -> tuple[int, int]:
        """How often each engine was asked to generate."""
        return tuple(sum(path == CHAT for path, _, _ in one.requests) for one in (self.first, self.second))  # pyright: ignore[reportReturnType] - of two


@asynccontextmanager
async def staged(
    *on: str, tunables: dict[str, dict[str, float]] | None = None, **options: Any
) -> AsyncIterator[Staged]:
    told = {"hedging": TUNED} | (tunables or {})
    second = options.pop("other", None) or Upstream()
    second.words = ["Other", "wise"]
    async with serving(second):
        door = Door(DoorHost(["hedging", *on], told), now_ns)
        async with stack(second, door=door, **options) as s:
            yield Staged(s, second, door)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_slow_first_engine_is_given_up_for_a_fast_second(stream: bool) -> None:
    async with staged() as two:
        await (learn_streams(two) if stream else two.learn())
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


async def learn_streams(two: Staged) -> None:
    for _ in range(6):
        await two.text()
    two.first.requests.clear()
    two.second.requests.clear()
    two.s.reports.clear()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_slow_second_engine_is_given_up_for_the_first(stream: bool) -> None:
    async with staged() as two:
        await (learn_streams(two) if stream else two.learn())
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


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - of servers that tell nobody
            await asyncio.sleep(0.005)


async def test_what_is_not_late_is_asked_once() -> None:
    async with staged() as two:
        await two.learn()
        for _ in range(5):
            assert (await two.s.post(CHAT, HI))[0] == 200
        assert two.asked() == (5, 0)
        assert not two.s.of(RequestHedged)


async def test_the_second_engine_gets_the_same_request_but_no_secrets() -> None:
    async with staged(other=keyed("theirs")) as two:
        secret = {"Authorization": "Bearer callers", "x-api-key": "callers", "Cookie": "c=1", "x-agent-id": "coder"}
        for number in range(7):
            two.first.begins = asyncio.Event() if number == 6 else None
            await two.s.post(CHAT, {**HI, "temperature": 0.5, "rid": f"mine-{number}"}, secret)
        assert two.first.last == two.second.last
        assert two.second.last["rid"] == "mine-6"
        assert two.second.last["custom_params"]["radixdeck"]["agent"] == "coder"
        assert two.second.last_headers["Authorization"] == "Bearer theirs"
        assert {"x-api-key", "Cookie"}.isdisjoint(two.second.last_headers)
        assert two.second.last_headers[MARK] == "1"
        assert MARK not in two.first.last_headers
        assert two.first.last_headers["Authorization"] == "Bearer callers"


def keyed(key: str) -> Upstream:
    made = Upstream()
    made.key = key
    return made


@pytest.mark.parametrize("how", ["500", "down", "error in its stream"])
async def test_an_error_of_the_second_engine_is_not_heard(how: str) -> None:
    async with staged() as two:
        await learn_streams(two)
        two.first.begins = asyncio.Event()
        two.second.status = 500 if how == "500" else 200
        two.second.fails_in_stream = how == "error in its stream"
        if how == "down":
            two.s.replicas._seen[nobody()] = two.s.replicas._seen.pop(two.second.url)  # pyright: ignore[reportPrivateUsage]
            two.s.replicas.known = (type(two.s.replicas.known[0])(nobody()),)
        asking = asyncio.create_task(two.text())
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


def nobody() -> str:
    """A URL at which nobody listens."""
    return "http://127.0.0.1:9"


@pytest.mark.parametrize("how", ["500", "error in its stream"])
async def test_an_error_of_the_first_engine_is_not_heard_while_the_second_may_answer(how: str) -> None:
    async with staged() as two:
        await learn_streams(two)
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
    async with staged() as two:
        await two.learn()
        two.first.status = 400
        assert (await two.s.post(CHAT, HI))[0] == 400
        assert two.asked() == (1, 0)


@pytest.mark.parametrize("who", ["first", "second"])
async def test_once_an_answer_has_begun_it_is_decided(who: str) -> None:
    """A stream that is cut after its first words ends in an error and is not sent again."""
    async with staged() as two:
        await learn_streams(two)
        one = two.first if who == "first" else two.second
        if who == "second":
            two.first.begins = asyncio.Event()
        one.gate, one.die = asyncio.Event(), True
        asking = asyncio.create_task(two.text())
        await asyncio.wait_for(one.reached.wait(), 10)
        await asyncio.sleep(3 * LATE_MS / 1e3)
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
        await (learn_streams(two) if stream else two.learn())
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


async def test_a_caller_that_leaves_the_second_engines_stream_cancels_that() -> None:
    async with staged() as two:
        await learn_streams(two)
        two.first.begins, two.second.gate = asyncio.Event(), asyncio.Event()
        async with two.s.client.post(two.s.url + CHAT, json={**HI, "stream": True}) as answer:
            assert b"Other" in await answer.content.readuntil(b"Other")
            answer.close()
        await asyncio.wait_for(two.second.gone.wait(), 10)
        await asyncio.wait_for(two.second.abort_seen.wait(), 10)
        fact = await two.hedged()
        assert fact.what == "won"
        assert two.second.aborted == [fact.rid]


async def test_the_budget_is_kept() -> None:
    async with staged(tunables={"hedging": {**TUNED, "budget": 0.2, "burst": 1.0}}) as two:
        await two.learn()
        two.first.begins = asyncio.Event()
        asking = [asyncio.create_task(two.s.post(CHAT, HI)) for _ in range(4)]
        await until(lambda: two.asked()[1] == 1)
        await asyncio.sleep(4 * LATE_MS / 1e3)
        two.first.begins.set()
        assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 4
        facts = await two.s.until(RequestHedged, 4)
        assert sorted(fact.what for fact in facts) == ["kept", "kept", "kept", "won"]
        assert {fact.why.rpartition("; ")[2] for fact in facts if fact.what == "kept"} == {
            "the budget of 20.0% is used up"
        }
        assert two.asked() == (4, 1)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, {"n": 2}),
        ("/v1/completions", {"prompt": ["a", "b"]}),
        ("/generate", {"text": "hi", "session_params": {"id": "s"}}),
        ("/v1/responses", {"input": "hi"}),
    ],
)
async def test_batches_and_what_is_stateful_are_never_sent_twice(path: str, more: dict[str, Any]) -> None:
    async with staged() as two:
        for _ in range(6):
            await two.s.post(path, {**HI, **more})
        two.first.begins = asyncio.Event()
        asking = asyncio.create_task(two.s.post(path, {**HI, **more}))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        two.first.begins.set()
        assert (await asking)[0] == 200
        assert all(asked in ("/v1/models",) for asked, _, _ in two.second.requests)


async def test_what_was_sent_twice_already_is_not_sent_a_third_time() -> None:
    async with staged() as two:
        await two.learn()
        two.first.begins = asyncio.Event()
        asking = asyncio.create_task(two.s.post(CHAT, HI, {MARK: "1"}))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        two.first.begins.set()
        assert (await asking)[0] == 200
        assert two.asked() == (1, 0)


async def test_it_can_be_switched_off_live() -> None:
    async with staged() as two:
        await two.learn()
        two.door.follow(PolicySwitched(t_ns=now_ns(), policy="hedging", enabled=False))
        two.first.begins = asyncio.Event()
        asking = asyncio.create_task(two.s.post(CHAT, HI))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        two.first.begins.set()
        assert (await asking)[0] == 200
        assert two.asked() == (1, 0)


async def test_with_one_engine_nothing_is_sent_twice_and_that_is_said() -> None:
    async with stack(door=Door(DoorHost(["hedging"], {"hedging": TUNED}), now_ns)) as s:
        await s.replicas.look(s.client)
        (fact,) = s.of(ReplicaChecked)
        assert (fact.url, fact.ok, fact.by) == ("", False, "hedging")
        assert "only one engine is known" in fact.detail
        assert s.replicas.words() == {"": f"not used: {fact.detail}"}
        for _ in range(6):
            await s.chat("hi")
        s.upstream.begins = asyncio.Event()
        asking = asyncio.create_task(s.chat("hi"))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        s.upstream.begins.set()
        assert (await asking)[0] == 200
        assert not s.of(RequestHedged)


async def test_places_at_the_door_are_given_back_once() -> None:
    """Fairness has two places: as many requests as there are places are in flight, whoever answers them."""
    async with staged("fairness", tunables={"fairness": {"places": 2}}) as two:
        await two.learn()
        two.first.begins = asyncio.Event()
        asking = [asyncio.create_task(two.s.post(CHAT, HI)) for _ in range(6)]
        assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 6
        assert two.s.of(RequestHeld)
        assert (two.s.front.in_flight, two.door.held) == (0, 0)
        assert len(two.s.of(RequestFinished)) == len(two.s.of(RequestArrived)) == 6
        asking = [asyncio.create_task(two.s.post(CHAT, HI)) for _ in range(3)]
        await until(lambda: two.s.front.in_flight == 2 and two.door.held == 1)
        two.first.begins.set()
        assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 3


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
