"""Whether an agent will find its anchor: the gaps of its requests against the turn of what it needs."""

from __future__ import annotations

from scenario import folded, run_events
from staging import LARGE, SMALL, console, drawn

from radixdeck.console.agent_facts import identity_lines, sessions_of
from radixdeck.console.forecast import Back, back, first_to_go, forecast, verdict
from radixdeck.console.victim_order import Queue, Turn
from radixdeck.policies.residency import AgentStats, Moment, NodeView, RequestView, RunState

S = 1_000_000_000
NOW_NS = 100 * S


def asked(*at_s: int, agent: str = "planner", warm: bool = False) -> dict[str, RequestView]:
    return {
        f"{agent}{at}": RequestView(rid=f"{agent}{at}", agent=agent, session="s", arrived_ns=at * S, warm=warm)
        for at in at_s
    }


def crowded(per_s: int) -> RunState:
    """A full pool of 200 tokens: the planner's anchor was used before the coder's history."""
    nodes = [
        NodeView(node=1, parent=0, start=0, tokens=100, agents=("planner",), role="anchor", last_use_ns=80 * S),
        NodeView(node=2, parent=0, start=0, tokens=100, agents=("coder",), role="private", last_use_ns=70 * S),
    ]
    stats = AgentStats(agent="planner", anchor_tokens=100, anchor_resident_tokens=100)
    return RunState(
        t_ns=NOW_NS,
        capacity_tokens=200,
        nodes={view.node: view for view in nodes},
        agents={"planner": stats, "coder": AgentStats(agent="coder")},
        requests=asked(60, 70, 80, 90),
        trends={"coder": [Moment(30, 5), Moment(99, 1, requests=1, prompt_tokens=60 * per_s)]},
    )


def test_the_gap_is_the_median_of_the_last_requests() -> None:
    run = RunState(requests={**asked(10, 20, 32, 90), **asked(95, agent="coder"), **asked(99, warm=True)})
    found = back(run, "planner", NOW_NS)
    assert (found.last_s, found.gap_s, found.due_s) == (10.0, 12.0, 2.0)
    assert back(run, "coder", NOW_NS) == (5.0, None)
    assert back(run, "nobody", NOW_NS) == (None, None)
    assert Back(3.0, None).due_s is None


def test_an_anchor_whose_turn_comes_first_will_be_gone() -> None:
    """It needs 201 tokens more before the anchor is all that is left to go."""
    waiting = back(crowded(10), "planner", 95 * S)
    assert waiting.due_s == 5.0
    slow, fast = crowded(10), crowded(50)
    for run, word in ((slow, "will be there"), (fast, "will be gone")):
        turn = first_to_go(run, Queue(run, ()), "planner", NOW_NS)
        assert turn is not None
        assert turn.place == 2
        assert f"its anchor {word}" in verdict(waiting, turn, whole=True)
    lines = forecast(fast, None, Queue(fast, ()), "planner", NOW_NS)
    assert lines[0].startswith("its anchor is there now; overdue")
    assert "every 10 s, last 10 s ago: overdue by 0 ms" in lines[1]
    assert "goes as number 2: after 101 tok more" in lines[3]


def test_an_anchor_that_one_session_alone_has_used_is_part_of_its_history() -> None:
    """As in an incident: evicted and computed again each time, it is never an anchor's own node."""
    run = crowded(50)
    run.nodes[1].role, run.nodes[1].session = "private", "s"
    turn = first_to_go(run, Queue(run, ()), "planner", NOW_NS)
    assert turn is not None
    assert turn.place == 2
    run.nodes[1].start = 100
    assert first_to_go(run, Queue(run, ()), "planner", NOW_NS) is None, "what is below the anchor is not it"


def test_only_the_last_requests_tell_the_pace() -> None:
    run = RunState(requests=asked(*range(30), *range(30, 120, 10)))
    assert back(run, "planner", 115 * S).gap_s == 10.0


def test_what_cannot_go_or_is_gone_is_said() -> None:
    known, turn = Back(1.0, 4.0), Turn(1, 0, 0, 10.0, pinned=False)
    assert "computes its anchor again" in verdict(known, turn, whole=False)
    assert "it is pinned" in verdict(known, turn._replace(pinned=True), whole=True)
    assert "not known" in verdict(known, None, whole=True)
    assert "nothing is computed now" in verdict(known, turn._replace(per_s=0.0), whole=True)
    assert "too few requests" in verdict(Back(1.0, None), turn, whole=True)
    nothing = RunState()
    assert forecast(nothing, None, Queue(nothing, ()), "planner", NOW_NS)[1:] == [
        "comes  not among the last requests",
        "chance 0.00 within 3 steps of a live session",
        "anchor not resident",
    ]


def test_sessions_tell_what_they_hold_and_tools_are_bounded() -> None:
    run = folded(run_events())
    lines = sessions_of(run, "critic", run.t_ns, 5, 72)
    assert len(lines) == 1
    assert "s0" in lines[0]
    assert "  450 tok" in lines[0]
    assert "next tester 100 %, 13/13 right" in lines[0]
    many = AgentStats(agent="a", label="You are", tools={f"t{number}": number for number in range(9)})
    assert identity_lines(many, "a") == [
        "tools      t8 8, t7 7, t6 6, t5 5, t4 4, t3 3, 3 more",
        "identity   inferred from its prompt; a: its text",
        "begins     You are",
    ]
    claimed = AgentStats(agent="a", versions=2, claimants=3)
    assert (
        identity_lines(claimed, "a")[1]
        == "identity   inferred from its prompt, 2 versions, 3 names for it; a: its text"
    )


async def test_all_of_it_is_on_a_large_page_and_one_key_away_on_a_small_one() -> None:
    texts = ("evicted nodes that hurt", "will it find its anchor?", "tools, sessions")
    async with console(LARGE) as pilot:
        await pilot.press("3", "enter")
        page = await drawn(pilot)
        assert all(text in page for text in texts)
        assert "the policy says 0.80" not in page, "that is the planner's"
        assert "next tester 100 %, 13/13 right" in page
    async with console(SMALL) as pilot:
        await pilot.press("3", "enter")
        for shown in (*texts, texts[0]):
            page = await drawn(pilot)
            assert [text for text in texts if text[:20] in page] == [shown]
            await pilot.press("v")
