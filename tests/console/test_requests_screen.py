"""Where a request's time went: the stretches of one, their picture, and the list of all."""

from __future__ import annotations

import pytest
from scenario import T0_NS, run_events
from staging import LARGE, SMALL, ScriptedFeed, batch, console, drawn, live_messages

from radixdeck.console.waterfall import cells, stage_words, stages, total_s
from radixdeck.console.widgets.request_list import RequestList
from radixdeck.policies import events as e
from radixdeck.policies.residency import RequestView

S = 1_000_000_000


def view(**told: object) -> RequestView:
    facts = {"arrived_ns": 10 * S, "matched_ns": 11 * S, "prefilled_ns": 14 * S, "ttft_s": 4.5, "latency_s": 10.0,
             "finished_ns": 20 * S, "prompt_tokens": 900, "cached_tokens": 100, "output_tokens": 7}  # fmt: skip
    return RequestView(rid="r", agent="coder", session="s", **{**facts, **told})  # type: ignore[arg-type]


def test_the_stretches_of_a_finished_request() -> None:
    found = stages(view(), 99 * S)
    assert [(stage.name, stage.start_s, stage.end_s) for stage in found] == [
        ("queue", 0, 1),
        ("prefill", 1, 4),
        ("first token", 4, 4.5),
        ("decode", 4.5, 10),
    ]
    words = stage_words(view(), 0)[1]
    assert " ".join(words.split()) == "█ prefill 3.0 s 30 % 100 tok cached, 800 tok computed"


def test_a_request_under_way_reaches_to_now() -> None:
    running = view(prefilled_ns=0, ttft_s=None, latency_s=None, finished_ns=0)
    assert [(s.name, s.end_s) for s in stages(running, 13 * S)] == [("queue", 1), ("prefill", 3)]
    assert total_s(running, 13 * S) == 3


def test_clocks_that_disagree_give_no_negative_stretch() -> None:
    odd = view(matched_ns=9 * S, prefilled_ns=8 * S, ttft_s=0.5, latency_s=0.1)
    assert all(stage.length_s >= 0 for stage in stages(odd, 0))
    assert stages(RequestView(rid="r", agent="a", session=""), 5) == []


@pytest.mark.parametrize("width", [1, 4, 13, 100])
def test_a_picture_fits_its_room(width: int) -> None:
    assert sum(len(text) for text, _ in cells(stages(view(), 0), width, 10.0)) <= width
    assert "".join(text for text, _ in cells(stages(view(), 0), 20, 10.0)) == "░░██████▓▒▒▒▒▒▒▒▒▒▒▒"


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_list_filters_follows_and_explains(size: tuple[int, int]) -> None:
    async with console(size) as pilot:
        await pilot.press("8")
        text = await drawn(pilot)
        assert "60 of the last 61 requests" in text
        assert "284 tok cached, 240 tok computed" in text
        await pilot.press("slash", *"planner", "enter")
        assert "with 'planner'" in await drawn(pilot)
        await pilot.press("escape", "f")
        assert "only those that were hurt" in await drawn(pilot)
        await pilot.press("enter")
        assert "from effect to cause" in await drawn(pilot)


async def test_the_cursor_stays_on_its_request_while_others_come() -> None:
    feed = ScriptedFeed(live_messages(run_events()[:300]))
    async with console(feed=feed) as pilot:
        await pilot.press("8")
        await drawn(pilot)
        await pilot.press("up", "up")
        request = pilot.app.screen.query_one(RequestList).request
        assert request is not None
        feed.tell(batch(run_events()[300:], 301))
        await drawn(pilot)
        kept = pilot.app.screen.query_one(RequestList).request
        assert kept is not None
        assert kept.rid == request.rid


async def test_two_requests_of_one_moment_are_both_listed() -> None:
    feed = ScriptedFeed(live_messages([]))
    twins = [e.RequestArrived(t_ns=T0_NS, rid=rid, agent="coder", session="s") for rid in ("a", "b")]
    async with console(feed=feed) as pilot:
        feed.tell(batch(list(twins), 1))
        await pilot.press("8")
        text = await drawn(pilot)
        assert "2 of the last 2 requests" in text
        assert text.count("coder") >= 2
