"""What is asked first: one rule, whichever key, click or line of the palette it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from scenario import NODE, folded, run_events
from shadow_stage import messages, on_policy, open_shadow, record
from staging import ScriptedFeed, drawn, in_words, live_messages, policies, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.commands import ACTS, Order, Target, order
from radixdeck.console.confirming import EVICTED, FLUSHED, GUARDS, QUARANTINED, question_of
from radixdeck.console.dialogs import Confirm
from radixdeck.console.feed_messages import NodePolicies
from radixdeck.daemon.wire import PolicyInfo
from radixdeck.policies.residency import Rulings, RunState

RUN = folded(run_events())
PIN, TUNE = Order("pin", {"agent": "coder"}, "pin coder"), Order("tune", {}, "set a.b to 2")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("confirming") / "run.db")


def switch(name: str, enabled: bool) -> Order:
    return Order("policy", {"name": name, "enabled": enabled}, f"switch {name} {'on' if enabled else 'off'}")


@pytest.mark.parametrize(
    ("ordered", "words"),
    [
        (Order("flush", {}, "flush"), FLUSHED),
        (Order("evict", {"agent": "coder"}, "evict coder"), EVICTED),
        (Order("evict", {"node": 1}, "evict node 1"), EVICTED),
        (Order("quarantine", {"agent": "coder"}, "quarantine coder"), QUARANTINED),
        *((switch(name, False), "hold others back") for name in GUARDS),
    ],
)
def test_what_is_lost_or_let_through_is_asked_about(ordered: Order, words: str) -> None:
    question = question_of([ordered], RUN)
    assert question is not None
    assert question.asked == f"{ordered.words}?"
    assert words in question.consequence


@pytest.mark.parametrize(
    "ordered",
    [PIN, TUNE, switch("kv_caching", False), switch("lru", True), switch("speculation", False), switch("safety", True),
     *(order(act, Target("coder")) for act in ACTS if act.name in ("warm", "pin", "retain", "boost")),
     *(order(act, Target("coder", quarantined=True)) for act in ACTS if act.name == "quarantine")],
)  # fmt: skip
def test_what_one_key_takes_back_is_not(ordered: Order) -> None:
    assert question_of([ordered], RUN) is None


def test_any_policy_that_held_or_refused_somebody_counts_as_one_that_holds_back() -> None:
    run = RunState(rulings={"ours": Rulings(held=3, refused=2), "calm": Rulings(let_in=4)})
    question = question_of([switch("ours", False)], run)
    assert question is not None
    assert "ours held 3 and refused 2 requests in this run" in question.consequence
    assert question_of([switch("calm", False)], run) is None


def test_several_at_once_are_asked_about_together_and_so_is_what_ends_with_one() -> None:
    question = question_of([TUNE, PIN], RUN)
    assert question is not None
    assert question.asked == "2 orders at once?"
    assert question.consequence == "set a.b to 2\npin coder"
    one = question_of([TUNE], RUN, called="go over", lost="It ends.")
    assert one is not None
    assert (one.asked, one.consequence) == ("go over?", "It ends.")


async def test_a_guard_is_switched_off_only_if_somebody_means_it_and_another_policy_at_once() -> None:
    guard = PolicyInfo(name="safety", doc="What agents may do.", slot="", enabled=True)
    table = replace(policies(), policies=[*policies().policies, guard])
    feed = ScriptedFeed([*live_messages(run_events()), NodePolicies(NODE, table)])
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await on_policy(pilot, "safety")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        text = in_words(await drawn(pilot))
        assert "switch safety off?" in text
        assert "safety is there to hold others back; in this run it had no reason to." in text
        await pilot.press("n")
        await drawn(pilot)
        assert feed.orders == []
        await pilot.press("enter", "y")
        await until(pilot, lambda: feed.orders == [(NODE, "policy", {"name": "safety", "enabled": False})])
        await pilot.press("home", "enter")
        await until(pilot, lambda: len(feed.orders) == 2)
        assert feed.orders[1] == (NODE, "policy", {"name": "kv_caching", "enabled": False})


async def test_a_shadow_is_switched_to_only_if_somebody_means_it(path: Path) -> None:
    feed = ScriptedFeed(messages(path))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await open_shadow(pilot)
        app.screen.query_one("#shadow-tunables").focus()
        await pilot.press("right", "O")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        text = in_words(await drawn(pilot))
        assert "switch the live engine over to kv_caching with" in text
        assert "switch kv_caching on The shadow ends, and what it counted goes with it." in text
        await pilot.press("escape")
        await drawn(pilot)
        assert feed.orders == []
        assert app.screen.query("#shadow-tunables"), "the shadow goes on"
        await pilot.press("O", "y")
        await until(pilot, lambda: [name for _, name, _ in feed.orders] == ["tune", "policy"])
