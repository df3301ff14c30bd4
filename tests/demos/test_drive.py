"""The driver against a real HTTP server that speaks as SGLang's does, and misbehaves when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from chat_server import Server, serving

from radixdeck.demos import drive as driving
from radixdeck.demos.apart import DriveError, drive_apart
from radixdeck.demos.drive import Outcome, Plan, drive
from radixdeck.demos.workloads import Turn


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as told:
        yield told


def turns(*sessions: str, stream: bool = True) -> list[Turn]:
    return [
        Turn(session=session, agent="coder", messages=[{"role": "user", "content": str(n)}], stream=stream)
        for n, session in enumerate(sessions)
    ]


async def driven(plan: Plan, url: str) -> list[Outcome]:
    outcomes: list[Outcome] = []
    await drive(plan, url, outcomes.append)
    return outcomes


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "RETRY_S", 0.0)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_timed_and_its_usage_read(server: Server, stream: bool) -> None:
    (outcome,) = await driven(Plan(turns=turns("a", stream=stream)), server.url)
    assert (outcome.prompt_tokens, outcome.cached_tokens, outcome.output_tokens) == (100, 60, 4)
    assert (outcome.rid, outcome.attempts, outcome.error) == ("r1", 1, "")
    assert 0 < outcome.ttft_s <= outcome.latency_s


async def test_requests_say_who_asks_only_when_identity_is_declared(server: Server) -> None:
    await driven(Plan(turns=turns("a"), session_prefix="lru-"), server.url)
    await driven(Plan(turns=turns("a"), declare=False), server.url)
    declared, silent = server.headers
    assert (declared["x-agent-id"], declared["x-session-id"]) == ("coder", "lru-a")
    assert "x-agent-id" not in silent
    assert "x-session-id" not in silent
    assert server.calls[0] == server.calls[1]
    assert server.calls[0]["temperature"] == 0
    assert server.calls[0]["ignore_eos"] is True


async def test_the_end_of_a_session_is_told_only_when_asked_for(server: Server) -> None:
    last = [Turn(session="a", agent="coder", messages=[]), Turn(session="a", agent="coder", messages=[], last=True)]
    await driven(Plan(turns=last, session_ends=True), server.url)
    await driven(Plan(turns=last), server.url)
    assert [headers.get("x-session-end") for headers in server.headers] == [None, "true", None, None]


async def test_any_name_from_a_log_can_be_sent(server: Server) -> None:
    turn = Turn(session="s" * 300, agent="  Prüfer\n(\x00) 検 ", messages=[])
    (outcome,) = await driven(Plan(turns=[turn]), server.url)
    assert outcome.error == ""
    assert server.headers[0]["x-agent-id"] == "Pr?fer?(?) ?"
    assert len(server.headers[0]["x-session-id"]) == 128


async def test_one_at_a_time_means_in_order(server: Server) -> None:
    outcomes = await driven(Plan(turns=turns("a", "b", "a", "c", "b")), server.url)
    assert [call["messages"][0]["content"] for call in server.calls] == ["0", "1", "2", "3", "4"]
    assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert server.most_running == 1


async def test_a_session_waits_for_its_own_answer_and_others_do_not(server: Server) -> None:
    server.hold = asyncio.Event()
    task = asyncio.create_task(driven(Plan(turns=turns("a", "a", "b"), concurrency=3), server.url))
    async with asyncio.timeout(20):
        arrived = [await server.arrived.get() for _ in range(2)]
    assert sorted(body["messages"][0]["content"] for body in arrived) == ["0", "2"]
    server.hold.set()
    assert len(await task) == 3
    assert server.most_running == 2


async def test_sessions_with_callers_of_their_own_do_not_keep_each_other_waiting(server: Server) -> None:
    server.hold = asyncio.Event()
    plan = Plan(turns=turns("a", "a", "b", "c", "b"), concurrency=2, by_session=True)
    running = asyncio.create_task(driven(plan, server.url))
    first = [(await server.arrived.get())["messages"][0]["content"] for _ in range(2)]
    assert sorted(first) == ["0", "2"]
    server.hold.set()
    outcomes = await running
    assert sorted(outcome.index for outcome in outcomes) == [0, 1, 2, 3, 4]
    assert server.most_running == 2


async def test_sessions_may_come_at_times_of_their_own(server: Server) -> None:
    made = turns("a", "b")
    late, soon = msgspec.structs.replace(made[0], think_s=0.3), made[1]
    outcomes = await driven(Plan(turns=[late, soon], concurrency=2, by_session=True, arrivals=True), server.url)
    assert [outcome.session for outcome in outcomes] == ["b", "a"]
    assert outcomes[1].start_s >= 0.3


@pytest.mark.parametrize("fault", ["503", "500", "429", "error", "cut", "empty"])
async def test_what_may_pass_is_tried_again(server: Server, fault: str) -> None:
    server.faults = {0: fault, 1: fault}
    (outcome,) = await driven(Plan(turns=turns("a")), server.url)
    assert (outcome.attempts, outcome.error, outcome.prompt_tokens) == (3, "", 100)


async def test_a_refused_request_is_reported_once_and_the_rest_goes_on(server: Server) -> None:
    server.faults = {0: "403"}
    first, second = await driven(Plan(turns=turns("a", "a")), server.url)
    assert first.error.startswith("HTTP 403")
    assert "told to fail" in first.error
    assert first.attempts == 1
    assert second.error == ""


async def test_trouble_that_stays_is_given_up_with_its_reason(server: Server) -> None:
    server.faults = dict.fromkeys(range(10), "503")
    (outcome,) = await driven(Plan(turns=turns("a")), server.url)
    assert outcome.attempts == driving.ATTEMPTS
    assert "503" in outcome.error


async def test_the_driver_in_its_own_process_reports_every_turn(server: Server) -> None:
    seen: list[Outcome] = []
    drive_result = await drive_apart(Plan(turns=turns("a", "b", "a")), server.url, seen.append)
    assert [outcome.index for outcome in drive_result.outcomes] == [0, 1, 2]
    assert len(seen) == 3
    assert drive_result.wall_s > 0


async def test_a_driver_that_cannot_reach_the_server_says_so() -> None:
    with pytest.raises(DriveError, match=r"http://127\.0\.0\.1:9/v1: APIConnectionError"):
        await drive_apart(Plan(turns=turns("a")), "http://127.0.0.1:9/v1", lambda _: None)


async def test_cancelling_stops_the_driver(server: Server) -> None:
    server.hold = asyncio.Event()
    task = asyncio.create_task(drive_apart(Plan(turns=turns("a")), server.url, lambda _: None))
    async with asyncio.timeout(30):
        await server.arrived.get()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    server.hold.set()


def test_a_bad_plan_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    for content in ("{", '{"turns": [{"session": 1}]}', "[]"):
        path.write_text(content, encoding="utf-8")
        assert driving.main(["--base-url", "http://127.0.0.1:9/v1", "--plan", str(path)]) == 2
        assert str(path) in capsys.readouterr().err
