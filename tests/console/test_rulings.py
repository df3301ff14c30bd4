"""What a policy did at the door is told the same way for any policy, from a run's events alone."""

from __future__ import annotations

from scenario import NODE, T0_NS
from staging import LARGE, console, drawn

from radixdeck.console.app import ConsoleApp
from radixdeck.console.rulings import door_words
from radixdeck.policies import events as e
from radixdeck.policies.fold.door import KEPT
from radixdeck.policies.residency import RunState, fold

WHO = {"agent": "coder", "session": "s1", "by": "theirs"}


def test_counts_and_the_latest_reasons_newest_first() -> None:
    run = RunState()
    fold(run, e.RequestHeld(t_ns=10**9, rid="r1", why="busy", **WHO))
    fold(run, e.RequestAdmitted(t_ns=3 * 10**9, rid="r1", why="busy", held_s=2.0, **WHO))
    fold(run, e.RequestRefused(t_ns=4 * 10**9, rid="r2", agent="coder", status=429, reason="too many", by="theirs"))
    fold(run, e.RequestRefused(t_ns=5 * 10**9, rid="", agent="coder", status=400, reason="no JSON"))
    assert door_words("theirs", run).splitlines() == [
        "theirs at the door: 1 held, 1 refused, 1 let in (waited 2.0 s on average)",
        "00:00:04.0  coder r2 refused with 429: too many",
        "00:00:03.0  coder r1 let in after 2.0 s: busy",
        "00:00:01.0  coder r1 held: busy",
    ]
    assert door_words("another", run) == ""


def test_what_was_done_about_tool_calls() -> None:
    run = RunState()
    for what in ("asked", "stored", "answered", "answered"):
        saved_s = 1.5 if what == "answered" else 0.0
        fold(run, e.ToolMemoized(t_ns=10**9, tool="search", what=what, agent="coder", saved_s=saved_s))
    fold(run, e.ToolMemoized(t_ns=2 * 10**9, tool="now", what="off", agent="coder", why="it said two things"))
    assert door_words("memoization", run).splitlines() == [
        "memoization of tool calls: 1 asked, 1 stored, 2 answered, 1 off; 3.0 s of tools saved",
        "00:00:02.0  coder off: now: it said two things",
        "00:00:01.0  coder answered: search",
        "00:00:01.0  coder answered: search",
    ]


def test_what_became_of_late_requests_and_of_second_engines() -> None:
    run = RunState()
    fold(run, e.ReplicaChecked(t_ns=10**9, url="", ok=False, detail="only one engine is known", by="theirs"))
    assert door_words("theirs", run).splitlines()[1:] == ["00:00:01.0  no second engine: only one engine is known"]
    late = {"rid": "r1", "why": "no answer after 300 ms", "waited_s": 0.3, **WHO}
    fold(run, e.ReplicaChecked(t_ns=10**9, url="http://h:1", ok=True, detail="it serves 'm'", by="theirs"))
    fold(run, e.RequestHedged(t_ns=2 * 10**9, what="won", saved_s=1.5, wasted_tokens=900, **late))
    fold(run, e.RequestHedged(t_ns=3 * 10**9, what="lost", wasted_tokens=100, **late))
    fold(run, e.RequestHedged(t_ns=4 * 10**9, what="kept", **late))
    assert door_words("theirs", run).splitlines() == [
        "theirs: 2 sent to a second engine, 1 answered there first, 1 late and not sent; about 1.5 s saved, "
        "at most 1,000 tok computed twice",
        "00:00:04.0  coder r1 late, not sent to a second engine: no answer after 300 ms",
        "00:00:03.0  coder r1 sent to a second engine in vain: no answer after 300 ms",
        "00:00:02.0  coder r1 sent to a second engine, which answered first: no answer after 300 ms",
    ]


def test_only_the_last_few_are_kept() -> None:
    run = RunState()
    for number in range(3 * KEPT):
        fold(run, e.RequestHeld(t_ns=number, rid=f"r{number}", why="busy", **WHO))
    assert (run.rulings["theirs"].held, len(run.rulings["theirs"].recent)) == (3 * KEPT, KEPT)
    assert run.rulings["theirs"].recent[-1].rid == f"r{3 * KEPT - 1}"


async def test_the_screen_of_policies_tells_it_beside_the_policy() -> None:
    async with console(LARGE) as pilot:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await drawn(pilot)
        held = e.RequestHeld(t_ns=T0_NS, rid="r1", agent="coder", session="s1", by="kv_caching", why="nine are inside")
        fold(app.fleet.nodes[NODE].run, held)
        await pilot.press("4")
        pilot.app.screen.query_one("#policies").focus()
        text = await drawn(pilot)
        assert "kv_caching at the door: 1 held, 0 refused" in text
        assert "coder r1 held: nine are inside" in text
