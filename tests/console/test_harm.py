"""From a symptom to its cause: who is worse off, who lost what to whom, and the chain behind one miss."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from scenario import NODE, T0_NS, folded, run_events
from staging import LARGE, SMALL, ScriptedFeed, batch, console, drawn, live_messages, until
from textual.widgets import Static

from radixdeck.console.agent_facts import facts
from radixdeck.console.app import ConsoleApp
from radixdeck.console.causes import chain, follow, hurt_of
from radixdeck.console.event_log import EventLog
from radixdeck.console.misses import misses
from radixdeck.console.screens.harm import pair_cells, pairs, title
from radixdeck.console.sentences import sentence
from radixdeck.console.trends import recent_blame, resampled, total, trouble, trouble_words
from radixdeck.console.widgets.log_view import LogView
from radixdeck.policies import events as e
from radixdeck.policies.residency import Moment, RunState, fold

EVENTS = run_events()
S = 1_000_000_000


def logged(events: list[e.AnyEvent]) -> tuple[RunState, EventLog]:
    state, log = RunState(), EventLog()
    for seq, event in enumerate(events, 1):
        fold(state, event)
        log.add(seq, event, sentence(event, state))
    return state, log


def incident(*, fixed: bool = False) -> list[e.AnyEvent]:
    """Two calm minutes of the planner, then one in which each of its requests finds its anchor gone for the coder."""
    events: list[e.AnyEvent] = [e.AnchorMeasured(t_ns=T0_NS, agent="planner", tokens=500)]
    for number in range(36):
        t_ns = T0_NS + number * 5 * S
        calm = number < 24 or fixed
        if not calm:
            events += [
                e.RequestArrived(t_ns=t_ns - 2 * S, rid=f"c{number}", agent="coder", session="c", declared=True),
                e.PrefixMatched(t_ns=t_ns - 2 * S + 1, rid=f"c{number}", agent="coder", session="c",
                                prompt_tokens=3000, cached_tokens=0),
                e.NodeEvicted(t_ns=t_ns - S, node=number, tokens=500, start=0, agents=("planner",), role="anchor",
                              by_rid=f"c{number}", by_agent="coder"),
                e.PrefixInserted(t_ns=t_ns - S + 1, rid=f"c{number}", phase="prompt", total_tokens=3000,
                                 new_tokens=3000),
            ]  # fmt: skip
        events += [
            e.RequestArrived(t_ns=t_ns, rid=f"p{number}", agent="planner", session=f"p{number}", declared=True),
            e.PrefixMatched(t_ns=t_ns + 1, rid=f"p{number}", agent="planner", session=f"p{number}", prompt_tokens=550,
                            cached_tokens=500 if calm else 0),
            e.FirstTokenSent(t_ns=t_ns + S, rid=f"p{number}", ttft_s=0.06 if calm else 0.45),
        ]  # fmt: skip
    return events


def test_an_agent_that_is_worse_off_is_named_with_its_cause() -> None:
    state = folded(incident())
    (worst,) = trouble(state, state.t_ns)
    assert worst.agent == "planner"
    words = trouble_words(worst, recent_blame(state, "planner", state.t_ns))
    assert words == (
        "planner waits 450 ms for its first token, usually 60 ms; 0 % cached, usually 91 %; mostly because of coder"
    )


def test_the_cause_is_who_pushes_out_now_and_not_who_did_most_before() -> None:
    state = folded(incident())
    state.hurts = [
        replace(hurt, by_agent="old", tokens=900) if place < 5 else hurt for place, hurt in enumerate(state.hurts)
    ]
    assert sum(hurt.tokens for hurt in state.hurts if hurt.by_agent == "old") > 12 * 500 / 2
    assert recent_blame(state, "planner", state.t_ns) == "coder"
    assert recent_blame(state, "planner", state.t_ns - 30 * S) == "old"
    assert recent_blame(state, "planner", state.t_ns + 60 * S) == ""


def test_nobody_is_blamed_in_calm_times() -> None:
    state = folded(incident(fixed=True))
    assert trouble(state, state.t_ns) == []


def test_an_incident_that_is_over_is_no_trouble_any_more() -> None:
    state = folded(incident())
    assert trouble(state, state.t_ns + 60 * S) == []


def test_pairs_add_up_to_what_the_run_counted() -> None:
    state = folded(EVENTS)
    found = pairs(state)
    assert sum(len(pair.hurts) for pair in found) == state.totals.evictions_that_hurt
    assert sum(pair.tokens for pair in found) == state.totals.hurt_tokens
    assert [pair.tokens for pair in found] == sorted((pair.tokens for pair in found), reverse=True)


def pieces() -> list[e.AnyEvent]:
    """The incident, whose first miss also needed three small pieces that had gone before."""
    events = incident()
    at = next(n for n, event in enumerate(events) if isinstance(event, e.NodeEvicted))
    small = [
        e.NodeEvicted(t_ns=events[at].t_ns - S, node=800 + n, tokens=2, start=500 + n, agents=("planner",),
                      role="shared", by_rid="c24", by_agent="coder")
        for n in range(3)
    ]  # fmt: skip
    return [*events[:at], *small, *events[at:]]


def test_misses_are_requests_and_nodes_are_told_beside() -> None:
    state = folded(pieces())
    anchor, history = pairs(state)
    assert [str(cell) for cell in pair_cells(anchor, {})][1:7] == ["planner", "anchor", "coder", "12", "12", "6,000"]
    assert [str(cell) for cell in pair_cells(history, {})][2:7] == ["history", "coder", "1", "3", "6"]
    assert misses(state.hurts) == 12
    assert title(state) == "15 of 15 evicted nodes hurt, 6,006 tok computed again in 12 misses"
    (hurt,) = [line for line in facts(state.agents["planner"], state) if line.startswith("hurt")]
    assert hurt == "hurt       12 misses (15 nodes), 6,006 tok"


def test_misses_that_are_not_all_kept_are_not_counted() -> None:
    state = folded(pieces())
    del state.hurts[0]
    assert title(state) == "15 of 15 evicted nodes hurt, 6,006 tok computed again"
    (hurt,) = [line for line in facts(state.agents["planner"], state) if line.startswith("hurt")]
    assert hurt == "hurt       15 nodes, 6,006 tok"


def test_a_chain_leads_from_the_miss_to_the_request() -> None:
    state, log = logged(incident())
    links = chain(state.hurts[-1], state, log)
    assert [link.what for link in links] == ["miss", "eviction", "insert", "request"]
    assert "planner's request p35 computed 500 tok again" in links[0].text
    assert "anchor of planner (500 tok) evicted for coder's request c35" in links[1].text
    assert "coder's request c35 needed room for 3,000 tok" in links[2].text
    assert "coder asked in c: request c35" in links[3].text
    by_seq = {line.seq: line.event for line in log}
    kinds = [type(by_seq[link.seq]) for link in links]
    assert kinds == [e.PrefixMatched, e.NodeEvicted, e.PrefixInserted, e.RequestArrived]


def test_a_chain_does_not_lead_to_the_node_of_the_next_engine_that_has_the_number() -> None:
    state, log = logged(incident())
    hurt = state.hurts[-1]
    other = e.NodeEvicted(t_ns=hurt.t_ns + S, node=hurt.node, tokens=7, start=0, agents=("writer",), role="anchor",
                          by_rid="x", by_agent="critic")  # fmt: skip
    log.add(log.last_seq + 1, other, sentence(other, state))
    assert "anchor of planner (500 tok) evicted for coder's request c35" in chain(hurt, state, log)[1].text


def test_a_chain_is_told_from_the_fold_where_the_log_is_too_short() -> None:
    state, _ = logged(incident())
    links = chain(state.hurts[-1], state, [])
    assert [link.seq for link in links] == [-1] * 4
    assert "node 35, anchor of planner, from depth 0, was evicted" in links[1].text


def test_a_chain_goes_on_where_the_cause_had_been_hurt_itself_and_ends() -> None:
    events = incident()
    first = next(event for event in events if isinstance(event, e.NodeEvicted))
    back = e.NodeEvicted(
        t_ns=first.t_ns - 2 * S, node=900, tokens=90, start=0, agents=("coder",), role="anchor", by_rid="p23",
        by_agent="planner",
    )  # fmt: skip
    at = next(n for n, event in enumerate(events) if isinstance(event, e.PrefixMatched) and event.rid == "c24")
    state, log = logged([*events[:at], back, *events[at:]])
    links = chain(next(hurt for hurt in state.hurts if hurt.rid == "p24"), state, log)
    assert [link.what for link in links] == ["miss", "eviction", "insert", "request"] * 2


@pytest.mark.parametrize("kind", [e.PrefixMatched, e.NodeEvicted, e.FirstTokenSent, e.PrefixInserted])
def test_any_event_of_the_chain_leads_into_it(kind: type[e.Event]) -> None:
    state, log = logged(incident())
    line = next(line for line in reversed(list(log)) if isinstance(line.event, kind))
    links = follow(line, state, log)
    assert [link.what for link in links] == ["miss", "eviction", "insert", "request"]


def test_what_hurt_nobody_is_followed_to_its_cause_or_not_at_all() -> None:
    state, log = logged([*incident(), e.NodeEvicted(t_ns=9, node=5000, tokens=3, start=0, cause="operator")])
    last = list(log)[-1]
    assert hurt_of(last.event, state) is None
    assert [link.what for link in follow(last, state, log)] == ["effect", "eviction", "order"]
    calm = next(line for line in log if isinstance(line.event, e.PrefixMatched))
    assert follow(calm, state, log) == []


def test_resampling_keeps_shares() -> None:
    moments = [Moment(0, 60, 6, 600, 300), Moment(60, 5, 1, 100, 0), Moment(65, 5, 1, 100, 100)]
    places = resampled(moments, 0, 120, 12)
    assert [one.cached_tokens / one.prompt_tokens for one in places[:6]] == [0.5] * 6
    assert [one.cached_tokens / one.prompt_tokens for one in places[6:7]] == [0.5]
    assert total(places[7:]).requests == 0


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_story_on_screen(size: tuple[int, int]) -> None:
    """From the symptom on the first screen over the cause to the order, in seven keys."""
    feed = ScriptedFeed(live_messages(incident()))
    app = ConsoleApp(feed, animate=False, clock=lambda: 5.0)
    async with app.run_test(size=size) as pilot:
        assert "! planner waits 450 ms for its first token" in " ".join((await drawn(pilot)).split())
        await pilot.press("7")
        text = await drawn(pilot)
        assert "12 of 12 evicted nodes hurt, 6,000 tok computed again in 12 misses" in text
        assert "mostly because of coder" in text
        await pilot.press("enter")
        text = await drawn(pilot)
        for fact in ("from effect to cause", "miss", "because", "needed room for 3,000 tok"):
            assert fact in text, text
        await pilot.press("t")
        await until(pilot, lambda: bool(feed.orders))
        assert feed.orders == [(NODE, "retain", {"agent": "planner"})]
        await pilot.press("escape", "3", "enter")
        text = await drawn(pilot)
        assert "planner waits 450 ms" in text
        assert "lost to" in text
        assert "coder" in text


async def test_a_link_opens_in_the_log_and_back() -> None:
    async with console(feed=ScriptedFeed(live_messages(incident()))) as pilot:
        await pilot.press("7")
        await drawn(pilot)
        await pilot.press("enter", "down", "enter")
        await drawn(pilot)
        assert pilot.app.current_mode == "events"
        line = pilot.app.screen.query_one(LogView).selected
        assert line is not None
        assert isinstance(line.event, e.NodeEvicted)
        await pilot.press("enter")
        assert "from effect to cause" in await drawn(pilot)
        await pilot.press("escape")
        assert "selected event" in await drawn(pilot)


async def test_a_number_leads_back_from_what_was_opened() -> None:
    async with console(feed=ScriptedFeed(live_messages(incident()))) as pilot:
        await pilot.press("7")
        await drawn(pilot)
        await pilot.press("enter")
        await drawn(pilot)
        assert len(pilot.app.screen_stack) == 2
        await pilot.press("7")
        assert "evicted nodes hurt" in await drawn(pilot)
        assert len(pilot.app.screen_stack) == 1


async def test_an_agent_page_of_an_agent_that_goes_away() -> None:
    feed = ScriptedFeed(live_messages(incident()))
    async with console(LARGE, feed) as pilot:
        await pilot.press("3", "enter")
        await drawn(pilot)
        await pilot.press("z", "z")
        feed.tell(batch([e.CacheFlushed(t_ns=T0_NS)], 10_000))
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        app.fleet.nodes[NODE].run = RunState()
        assert "is not known in this run" in await drawn(pilot)


async def test_a_click_chooses_a_step_of_a_chain() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("7", "enter")
        await drawn(pilot)
        fields = pilot.app.screen.query_one("#event-fields", Static)
        first = str(fields.content)
        await pilot.click("#link-1")
        await drawn(pilot)
        assert str(fields.content) != first
        await pilot.click("#link-0")
        await drawn(pilot)
        assert str(fields.content) == first
