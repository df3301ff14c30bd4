"""The tier below: said to be unknown where nothing tells of one, in numbers where events do, else node by node."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest
from scenario import T0_NS, run_events
from staging import SMALL, ScriptedFeed, batch, console, drawn, live_messages, toasts

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed_messages import FeedMessage
from radixdeck.console.flashes import EVICTED, FROM_HOST, GLYPHS, TO_HOST, WARMED
from radixdeck.console.tiers import host_rows, lay_out_tiers
from radixdeck.console.widgets.map_view import MapView
from radixdeck.console.widgets.tree_view import TreeView
from radixdeck.policies import events as e
from radixdeck.policies.fold import tree as fold_tree
from radixdeck.policies.residency import NodeView, RunState

EVENTS = run_events()


async def test_the_residency_screen_tells_of_no_tier_that_it_does_not_know() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(SMALL, feed) as pilot:
        await pilot.press("2")
        assert "device memory; no host tier known" in await drawn(pilot)
        t_ns, node = EVENTS[-1].t_ns + 1, 66
        feed.tell(batch([
            e.NodeEvicted(t_ns=t_ns, node=node, tokens=240, start=400, to_host=True),
            e.PrefixMatched(t_ns=t_ns, rid="h", agent="writer", session="s2", prompt_tokens=900, cached_tokens=404,
                            host_tokens=200),
        ], len(EVENTS) + 1))  # fmt: skip
        assert "host tier: 240 tok moved there, 200 tok found there lately" in await drawn(pilot)


def told(*more: e.AnyEvent) -> list[FeedMessage]:
    """An engine with room for 8,000 tokens in host memory, and a few nodes in either tier."""
    started = e.EngineStarted(
        t_ns=T0_NS, pid=1, model="m", capacity_tokens=2_000, page_size=1, policy="lru", host_capacity_tokens=8_000
    )
    events: list[e.AnyEvent] = [started]
    nodes: list[tuple[str, e.Role, int]] = [
        ("planner", "anchor", 400), ("coder", "anchor", 600), ("coder", "private", 900), ("critic", "private", 700),
    ]  # fmt: skip
    for node, (agent, role, tokens) in enumerate(nodes, 1):
        events.append(
            e.NodeAdded(t_ns=T0_NS + node, node=node, parent=0, start=0, tokens=tokens, agent=agent, role=role,
                        session="s1" if role == "private" else "")
        )  # fmt: skip
    events += [moved(2, "coder", "anchor", 600), moved(4, "critic", "private", 700), *more]
    return live_messages(events)


def lively() -> list[FeedMessage]:
    """The same, and within the last second a node evicted, one warmed, and one that is back from the host."""
    return told(
        e.NodeEvicted(t_ns=T0_NS + 11, node=1, tokens=400, start=0, agents=("planner",), role="anchor"),
        e.PrefixMatched(t_ns=T0_NS + 12, rid="w", agent="writer", session="", prompt_tokens=300, cached_tokens=0,
                        warm=True),
        e.NodeAdded(t_ns=T0_NS + 13, node=5, parent=0, start=0, tokens=300, agent="writer", role="anchor", rid="w"),
        e.NodeAdded(t_ns=T0_NS + 14, node=4, parent=0, start=0, tokens=700, agent="critic", role="private",
                    session="s1", from_host=True),
    )  # fmt: skip


def moved(node: int, agent: str, role: e.Role, tokens: int) -> e.NodeEvicted:
    session = "s1" if role == "private" else ""
    return e.NodeEvicted(
        t_ns=T0_NS + 10, node=node, tokens=tokens, start=0, agents=(agent,), role=role, session=session, to_host=True
    )


async def test_a_host_tier_is_a_band_of_its_own_that_the_cursor_explains() -> None:
    async with console(SMALL, ScriptedFeed(told())) as pilot:
        await pilot.press("2")
        text = await drawn(pilot)
        assert "host memory only: 1,300 tok of 8,000 tok; a cell is" in text
        assert "device memory; host tier: 1.3k of 8.0k tok, 2 nodes" in text
        above, below = text.split("host memory only", 1)
        assert "PPPP" in above
        assert "R  critic 0" in below
        assert "CCCC" in below
        assert "rrrr" in below
        await pilot.press("end")
        text = await drawn(pilot)
        assert "history of critic in s1" in text
        assert "9 % of the host tier" in text
        assert "in host memory only" in text
        await pilot.press("T")
        text = await drawn(pilot)
        assert "radix tree, 4 nodes" in text
        rows = {word: line for line in text.splitlines() for word in ("#1 ", "#2 ", "#3 ", "#4 ") if word in line}
        assert {word for word, line in rows.items() if " h " in line} == {"#2 ", "#4 "}
        assert pilot.app.screen.query_one(TreeView).node == 4


async def test_what_is_only_counted_there_is_said_and_not_taken_for_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_tree, "HOST_NODES", 1)
    async with console(SMALL, ScriptedFeed(told())) as pilot:
        await pilot.press("2")
        text = await drawn(pilot)
        assert "device memory; host tier: 1.3k of 8.0k tok, 2 nodes, 1 of them shown" in text
        assert "host memory only: 1,300 tok of 8,000 tok; ▒ 1 more node, counted only" in text
        band = text.split("counted only", 1)[1].split("░ running", 1)[0]
        assert band.count("▒") > 5
        assert "rrr" in band
        await pilot.press("T")
        assert "radix tree, 3 nodes, 1 more in host memory not listed" in await drawn(pilot)


async def test_what_has_just_happened_has_a_sign_of_its_own_each() -> None:
    app = ConsoleApp(ScriptedFeed(lively()), animate=False, clock=lambda: 5.0)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("2")
        text = await drawn(pilot)
        cells = text[text.index("KV pool") : text.index("░ running")]
        assert all(cells.count(sign) > 10 for sign in (EVICTED, TO_HOST, WARMED, FROM_HOST))
        assert all(f"{sign} {GLYPHS[sign]}" in text for sign in (WARMED, TO_HOST, FROM_HOST))


async def test_orders_about_a_node_of_the_host_tier_are_not_given() -> None:
    feed = ScriptedFeed(told())
    async with console(SMALL, feed) as pilot:
        await pilot.press("2", "end", "p")
        await drawn(pilot)
        assert feed.orders == []
        assert "lies in host memory only" in toasts(pilot.app)


async def test_arrows_go_over_the_line_between_the_tiers() -> None:
    async with console(SMALL, ScriptedFeed(told())) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        view, seen = pilot.app.screen.query_one(MapView), list[int]()
        for _ in range(4):
            seen.append(view.node)
            await pilot.press("right")
        assert seen == [1, 3, 2, 4]
        for _ in range(40):
            await pilot.press("up")
        assert view.node in (1, 3)


async def test_a_low_map_shows_the_device_alone() -> None:
    async with console((80, 16), ScriptedFeed(told())) as pilot:
        await pilot.press("2")
        assert "host memory only:" not in await drawn(pilot)


async def test_shades_by_turn_leave_the_host_tier_to_its_owners() -> None:
    async with console(SMALL, ScriptedFeed(told())) as pilot:
        await pilot.press("2", "v", "v")
        _, below = (await drawn(pilot)).split("host memory only:", 1)
        assert "CCCC" in below


def test_the_tiers_cover_the_map_without_a_gap() -> None:
    run = RunState(capacity_tokens=100, host_capacity_tokens=50)
    run.host = {7: NodeView(node=7, parent=0, start=0, tokens=80)}
    for height in range(1, 30):
        whole = lay_out_tiers(run, 10, height)
        assert [span.first for span in whole.spans] == [0, *(span.end for span in whole.spans[:-1])]
        assert whole.spans[-1].end == whole.cells == 10 * height
        assert (whole.span_of(7) is not None) == (host_rows(run, height) > 0)
