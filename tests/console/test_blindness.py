"""An engine whose observer broke, on every screen that tells of its cache: live, joined late, and in a replay."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scenario import NODE, T0_NS, folded, run_events
from staging import (
    LARGE,
    SMALL,
    ScriptedFeed,
    batch,
    console,
    drawn,
    in_words,
    live_messages,
    policies,
    recorded,
    until,
)

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.policy_table import policy_table
from radixdeck.console.screens.harm import verdict
from radixdeck.console.sentences import sentence
from radixdeck.console.trends import trouble, trouble_words
from radixdeck.daemon.metrics import Window
from radixdeck.daemon.policies_table import policies_table
from radixdeck.policies import events as e
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.residency import RunState

S = 1_000_000_000
EVENTS = run_events()
BROKE_NS = EVENTS[-1].t_ns
BROKE = e.PolicyFailed(t_ns=BROKE_NS, policy="radixdeck", call="left", error="KeyError: 'stale'")
BLIND: list[e.AnyEvent] = [*EVENTS, BROKE]
WHY = "radixdeck's observer broke in left: KeyError: 'stale'"


def failed(table: Any) -> dict[str, str]:
    return {policy.name: policy.failed for policy in table.policies if policy.failed}


def worse() -> list[e.AnyEvent]:
    """A planner that waits ten times as long for its last requests."""
    told: list[e.AnyEvent] = []
    for number in range(36):
        t_ns, slow = T0_NS + number * 5 * S, number >= 30
        who: dict[str, Any] = {"agent": "planner", "session": f"p{number}"}
        told += [
            e.RequestArrived(t_ns=t_ns, rid=f"p{number}", declared=True, **who),
            e.PrefixMatched(t_ns=t_ns + 1, rid=f"p{number}", prompt_tokens=550, cached_tokens=500, **who),
            e.FirstTokenSent(t_ns=t_ns + S, rid=f"p{number}", ttft_s=0.6 if slow else 0.06),
        ]
    return told


def test_whoever_holds_the_slot_is_marked_by_the_daemon_live_and_in_a_replay() -> None:
    host, state = PolicyHost(["kv_caching"]), folded(BLIND)
    assert failed(policies_table(host, state, 1.0)) == {"kv_caching": WHY}
    assert failed(policies_table(host, folded(EVENTS), 1.0)) == {}
    for table in (policies(), None):  # as an older daemon told it; as the events of a recording leave it
        assert failed(policy_table(cast(Any, SimpleNamespace(table=table, run=state)))) == {"kv_caching": WHY}
        assert failed(policy_table(cast(Any, SimpleNamespace(table=table, run=folded(EVENTS))))) == {}


def test_the_metrics_say_so() -> None:
    recorder = cast(Any, SimpleNamespace(backlog=0, dropped=0, failed=""))
    assert Window().metrics(1, folded(BLIND), recorder).blind == "left: KeyError: 'stale'"
    assert Window().metrics(1, folded(EVENTS), recorder).blind == ""


def test_nobody_is_acquitted_who_is_not_seen() -> None:
    sound = folded(worse())
    (one,) = trouble(sound, sound.t_ns)
    assert trouble_words(one).endswith("; no eviction hurt it")
    state = folded([*worse(), BROKE])
    (one,) = trouble(state, sound.t_ns)
    assert trouble_words(one).endswith("; whether evictions hurt it is not seen")
    first, second = verdict(state, sound.t_ns).splitlines()
    assert first.startswith("nothing of the cache is seen since ")
    assert WHY in first
    assert second.startswith("planner waits")
    assert verdict(folded(BLIND), BROKE_NS).endswith("nobody is worse off than usual")


def test_its_sentence_says_what_follows() -> None:
    assert sentence(BROKE, RunState()) == (
        "radixdeck's observer broke in left, SGLang's own order is used and nothing of its tree is told: "
        "KeyError: 'stale'"
    )
    once = e.PolicyFailed(t_ns=1, policy="radixdeck", call="dispatched", error="ValueError: no")
    assert sentence(once, RunState()) == "radixdeck failed in dispatched, this once: ValueError: no"


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_every_screen_of_the_cache_says_so_until_a_flush(size: tuple[int, int]) -> None:
    feed = ScriptedFeed(live_messages(BLIND, joined_at=len(BLIND)))
    async with console(size, feed) as pilot:
        await pilot.press("1")
        text = in_words(await drawn(pilot))
        assert "! nothing of the cache is seen since" in text
        assert size == SMALL or "! cache not seen since" in text, "in the row of the daemon"
        for key, told in (("2", "not seen since"), ("4", "[!] kv_caching"), ("7", "nothing of the cache is seen")):
            await pilot.press(key)
            text = in_words(await drawn(pilot))
            assert told in text, text
            assert "cache not seen since" in text.split("KV")[0], "the status line"
        await pilot.press("3", "enter")
        assert "not worse off than usual; cache not seen since" in in_words(await drawn(pilot))
        await pilot.press("escape")
        feed.tell(batch([e.CacheFlushed(t_ns=BROKE_NS + S)], len(BLIND) + 1))
        app = cast(ConsoleApp, pilot.app)
        await until(pilot, lambda: not app.fleet.nodes[NODE].run.blind)
        for key in "1247":
            await pilot.press(key)
            text = in_words(await drawn(pilot))
            assert "not seen" not in text, text
            assert "[!]" not in text


async def test_a_replay_shows_it_too(tmp_path: Path) -> None:
    session = await recorded(tmp_path / "run.db", BLIND, keyframe_every=len(BLIND))
    feed = ReplayFeed(session, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=LARGE) as pilot:
        feed.seek(session.last_ns)
        await until(pilot, lambda: NODE in app.fleet.nodes and bool(app.fleet.nodes[NODE].run.blind))
        assert app.fleet.nodes[NODE].run == folded(BLIND)
        await pilot.press("4")
        assert f"FAILED, plain LRU instead: {WHY}" in in_words(await drawn(pilot))
        await pilot.press("7")
        assert "nothing of the cache is seen since" in in_words(await drawn(pilot))
    session.close()
