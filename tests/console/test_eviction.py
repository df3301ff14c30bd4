"""What an eviction would take, said before it is ordered."""

from __future__ import annotations

from scenario import folded, run_events
from staging import ScriptedFeed, drawn, in_words, live_messages, screen_text, until
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.commands import Target
from radixdeck.console.eviction import eviction, eviction_words
from radixdeck.console.widgets.map_view import MapView
from radixdeck.policies.residency import NodeView, RunState


def tree(*views: NodeView) -> RunState:
    return RunState(nodes={view.node: view for view in views})


def node(number: int, parent: int, agent: str, *, pinned: bool = False) -> NodeView:
    return NodeView(node=number, parent=parent, start=10 * number, tokens=100, agents=(agent,), pinned=pinned)


def ids(views: list[NodeView]) -> set[int]:
    return {view.node for view in views}


FOREST = tree(
    node(1, 0, "coder"), node(2, 1, "coder"), node(3, 2, "coder"), node(4, 2, "critic"), node(5, 0, "tester")
)  # fmt: skip


def test_a_node_takes_everything_below_it() -> None:
    found = eviction(FOREST, Target(node=2))
    assert (ids(found.gone), found.pinned, found.above) == ({2, 3, 4}, [], [])
    assert eviction_words(FOREST, Target(node=2)) == "3 nodes of 300 tok would go: coder 200 tok, critic 100 tok."


def test_a_pinned_node_below_stays_and_so_does_what_is_above_it() -> None:
    run = tree(node(1, 0, "coder"), node(2, 1, "coder"), node(3, 2, "coder", pinned=True), node(4, 2, "critic"))
    found = eviction(run, Target(node=1))
    assert (ids(found.gone), ids(found.pinned), ids(found.above)) == ({4}, {3}, {1, 2})
    assert eviction_words(run, Target(node=1)) == (
        "1 node of 100 tok would go: critic 100 tok. 1 pinned node below would stay. "
        "2 nodes would stay above what stays."
    )
    assert ids(eviction(run, Target(node=3)).gone) == {3}


def test_an_agent_loses_what_it_alone_owns_unless_somebody_builds_on_it() -> None:
    found = eviction(FOREST, Target("coder"))
    assert (ids(found.gone), ids(found.above)) == ({3}, {1, 2})
    assert ids(eviction(FOREST, Target("tester")).gone) == {5}


def test_what_is_not_there_takes_nothing() -> None:
    assert eviction_words(FOREST, Target(node=99)) == "0 nodes of 0 tok would go."
    ring = tree(NodeView(node=1, parent=2, start=0, tokens=1), NodeView(node=2, parent=1, start=0, tokens=1))
    assert ids(eviction(ring, Target(node=1)).gone) == {1, 2}


async def test_the_question_says_what_goes() -> None:
    events = run_events()
    app = ConsoleApp(ScriptedFeed(live_messages(events)), animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        pilot: Pilot[None]
        await pilot.press("2")
        await drawn(pilot)
        view = app.screen.query_one(MapView)
        await pilot.press("right", "e")
        await until(pilot, lambda: "would go" in screen_text(app))
        said = in_words(screen_text(app))
    expected = eviction_words(folded(events), Target(node=view.node))
    assert " ".join(expected.split())[:30] in said
