"""What a policy decided and what it was worth: by hand on a few events, then on the screen."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from counted import calls_of
from scenario import folded, run_events
from staging import LARGE, SMALL, console, drawn, policies

from radixdeck.console.app import ConsoleApp
from radixdeck.console.decisions import Lately, decided, lately_words
from radixdeck.console.event_log import MAX_LINES, EventLog
from radixdeck.console.screens.chain import ChainScreen
from radixdeck.console.screens.decisions import DecisionsScreen
from radixdeck.daemon.wire import PolicyInfo
from radixdeck.policies import events as e
from radixdeck.policies.fold import ghosts as fold_ghosts

OURS = PolicyInfo(name="kv_caching", doc="", slot="eviction", enabled=True)
MATES = ("kv_caching", "lru")
S = 1_000_000_000
WHO = {"agent": "coder", "session": "s1"}


def added(t_s: int, node: int, parent: int = 0, tokens: int = 100) -> e.NodeAdded:
    return e.NodeAdded(t_ns=t_s * S, node=node, parent=parent, start=0, tokens=tokens, role="anchor", agent="coder")


def went(t_s: int, node: int, instead: int = e.NO_NODE, tokens: int = 100) -> e.NodeEvicted:
    return e.NodeEvicted(
        t_ns=t_s * S, node=node, tokens=tokens, start=0, agents=("planner",), role="anchor", idle_s=1.0, score=0.5,
        parts={"rate_per_s": 0.5}, instead=instead, instead_agent="coder" if instead != e.NO_NODE else "",
    )  # fmt: skip


def matched(t_s: int, node: int, cached: int = 100, **more: str) -> e.PrefixMatched:
    return e.PrefixMatched(t_ns=t_s * S, rid=f"r{t_s}", prompt_tokens=200, cached_tokens=cached, node=node,
                           **{**WHO, **more})  # fmt: skip


def lately(events: Iterable[e.AnyEvent], policy: PolicyInfo = OURS, on: str = "kv_caching") -> Lately:
    told: list[e.AnyEvent] = [e.PolicySwitched(t_ns=0, policy=on, enabled=True), *events]
    log = EventLog()
    for seq, event in enumerate(told, 1):
        log.add(seq, event, "")
    return decided(policy, MATES, folded(told), log)


def test_what_was_kept_counts_once_it_is_found() -> None:
    kept = lately([added(1, 7), added(1, 8), went(2, 8, instead=7), matched(3, 7)])
    assert (kept.evictions, kept.other, kept.found_tokens, kept.missed_tokens) == (1, 1, 100, 0)
    assert [(one.worth_tokens, one.came) for one in kept.decisions] == [(100, "not missed; kept 100 found")]
    assert "score 0.5: rate 0.5/s; kept coder's node 7" in kept.decisions[0].why
    unused = lately([added(1, 7), added(1, 8), matched(1, 7), went(2, 8, instead=7)])
    assert (unused.found_tokens, unused.decisions[0].worth_tokens) == (0, 0)


def test_a_use_is_owed_to_the_last_decision_before_it() -> None:
    """LRU would have evicted the node once, whenever that was."""
    nodes = [added(1, node) for node in (7, 8, 9, 10)]
    told = lately([*nodes, went(2, 8, instead=7), went(2, 9, instead=7), went(4, 10, instead=7), matched(5, 7)])
    assert [one.worth_tokens for one in told.decisions] == [100, 0, 0]
    assert told.found_tokens == 100
    twice = lately([*nodes, went(2, 8, instead=7), matched(3, 7), went(4, 10, instead=7), matched(5, 7)])
    assert twice.found_tokens == 200


def test_what_is_below_and_what_was_split_count_too() -> None:
    split = e.NodeSplit(t_ns=3 * S, node=7, upper=70, upper_tokens=40)
    below = [added(1, 7), added(1, 8, parent=7), added(1, 9), went(2, 9, instead=7), split]
    assert lately([*below, matched(4, 8)]).found_tokens == 100
    assert lately([*below, matched(4, 70, cached=40)]).found_tokens == 40


def test_what_went_and_was_needed_again_counts_against_it() -> None:
    asked = [matched(1, 8, agent="planner"), went(2, 8, instead=7), matched(3, e.NO_NODE, cached=0, agent="planner")]
    told = lately([added(1, 7), added(1, 8), *asked])
    assert (told.missed_tokens, told.decisions[0].worth_tokens, told.decisions[0].came) == (
        100, -100, "100 again; kept not used",
    )  # fmt: skip
    assert lately_words(OURS, told).endswith("-100 tok against LRU")


def test_only_what_it_decided_itself_is_its() -> None:
    """Before it was switched on another one decided; what an operator evicts nobody decided."""
    switch = [
        e.PolicySwitched(t_ns=3 * S, policy="kv_caching", enabled=True, by="operator"),
        e.PolicySwitched(t_ns=3 * S, policy="lru", enabled=False, by="host"),
    ]
    ordered = e.NodeEvicted(t_ns=4 * S, node=9, tokens=10, start=0, cause="operator")
    events = [went(2, 8), *switch, ordered, went(5, 10)]
    assert [one.t_ns // S for one in lately(events, on="lru").decisions] == [5]
    lru = PolicyInfo(name="lru", doc="", slot="eviction", enabled=False)
    theirs = lately(events, lru, on="lru")
    assert [one.t_ns // S for one in theirs.decisions] == [2]
    assert lately_words(lru, theirs) == "lru evicted 1 node lately, each as plain LRU would have"
    assert lately_words(OURS, Lately([])) == ""
    log = EventLog()
    for seq, event in enumerate(events, 1):  # what was on at the start nothing in the log says
        log.add(seq, event, "")
    assert [one.t_ns // S for one in decided(lru, MATES, folded(events), log).decisions] == [2]
    assert [one.t_ns // S for one in decided(OURS, MATES, folded(events), log).decisions] == [5]
    off = e.PolicySwitched(t_ns=3 * S, policy="kv_caching", enabled=False, by="operator")
    assert [one.t_ns // S for one in lately([went(2, 8), off, went(5, 10)]).decisions] == [2]


def test_warm_ups_and_rulings_are_decisions_too() -> None:
    ahead = PolicyInfo(name="speculation", doc="", slot="", enabled=True)
    warm = {"kind": "warm", "agent": "coder", "by": "speculation", "why": "it is idle"}
    told = lately(
        [
            e.ActionTaken(t_ns=1 * S, id="a", tokens=80, **warm),
            matched(3, 7, cached=60),
            e.ActionTaken(t_ns=4 * S, id="b", tokens=80, **warm),
            e.ActionTaken(t_ns=5 * S, id="c", ok=False, result="not idle", **warm),
            e.RequestHeld(t_ns=6 * S, rid="r9", by="speculation", why="full", **WHO),
        ],
        ahead,
    )
    assert [(one.what, one.came, one.worth_tokens) for one in told.decisions] == [
        ("held coder r9", "-", 0),
        ("warm coder", "not idle", 0),
        ("warm coder", "80 tok ahead; not asked for", 0),
        ("warm coder", "80 tok ahead; 60 found", 60),
    ]


def test_a_warm_up_is_held_against_the_next_request_of_its_agent_and_session() -> None:
    ahead = PolicyInfo(name="speculation", doc="", slot="", enabled=True)
    warm = {"kind": "warm", "by": "speculation", "why": "it is idle", "tokens": 80}
    told = lately(
        [
            e.ActionTaken(t_ns=1 * S, id="a", agent="coder", session="s2", **warm),
            e.ActionTaken(t_ns=2 * S, id="b", agent="coder", **warm),
            matched(3, 7, cached=99, agent="planner", session="s2"),
            matched(4, 7, cached=10),
            matched(5, 7, cached=20, session="s2"),
            matched(6, 7, cached=30, session="s2"),
        ],
        ahead,
    )
    assert [(one.what, one.worth_tokens) for one in told.decisions] == [("warm coder", 10), ("warm coder in s2", 20)]


def test_many_warm_ups_are_told_in_one_walk_and_for_the_sums_in_none() -> None:
    ahead = PolicyInfo(name="speculation", doc="", slot="", enabled=True)
    log = EventLog()
    for n in range(MAX_LINES):
        warm = e.ActionTaken(t_ns=n * S, id=f"{n}", kind="warm", agent=f"a{n}", by="speculation", tokens=9)
        log.add(n, warm if n % 3 == 0 else matched(n, 7, agent="other"), "")
    assert len(decided(ahead, (), folded([]), log).decisions) == 300
    assert calls_of(lambda: decided(ahead, (), folded([]), log)) < 5 * MAX_LINES
    assert not decided(ahead, (), folded([]), log, most=0).decisions


def test_where_events_are_missing_only_what_came_after_them_counts() -> None:
    """Among them were the switches: what went after them is not of the policy that held the slot before."""
    switches = [
        e.PolicySwitched(t_ns=3 * S, policy="lru", enabled=True),
        e.PolicySwitched(t_ns=3 * S, policy="kv_caching", enabled=False),
    ]
    told: list[e.AnyEvent] = [
        e.PolicySwitched(t_ns=0, policy="kv_caching", enabled=True), *(added(1, node) for node in (7, 8, 9)),
        went(2, 7, instead=8), *switches, went(4, 8, instead=9), went(5, 9),
    ]  # fmt: skip
    log, run = EventLog(), folded(told)
    for seq, event in enumerate(told, 1):
        if event in switches:
            log.skip(range(seq, seq + 1))
        else:
            log.add(seq, event, "")
    lru = msgspec.structs.replace(OURS, name="lru")
    ours, theirs = (decided(policy, MATES, run, log) for policy in (OURS, lru))
    assert (ours.evictions, theirs.evictions, theirs.other, theirs.whole_ns) == (0, 2, 1, 4 * S)
    assert lately_words(lru, theirs).startswith("lru evicted 2 nodes since 00:00:04.0 (events before that are missing)")
    before = "what kv_caching did before 00:00:04.0 is not told: events of then are missing"
    assert lately_words(msgspec.structs.replace(OURS, decisions=1), ours) == before
    assert lately_words(OURS, ours) == "", "it never decided anything"


def test_a_ring_in_an_odd_stream_ends() -> None:
    told = lately([added(1, 7, parent=8), added(1, 8, parent=7), went(2, 9, instead=7), matched(3, 8)])
    assert told.found_tokens == 100


async def test_the_key_lists_what_the_policy_under_the_cursor_decided() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("4")
        text = await drawn(pilot)
        assert "kv_caching evicted 40 nodes lately" in text
        await pilot.press("D")
        text = await drawn(pilot)
        assert "kv_caching: 40 decisions" in text
        assert "history tester s3, 180 tok" in text
        assert "kept planner's node 2" in text
        await pilot.press("enter")
        await drawn(pilot)
        assert isinstance(pilot.app.screen, ChainScreen)
        await pilot.press("escape", "escape")
        assert "kv_caching evicted 40 nodes lately" in await drawn(pilot)


async def test_a_policy_that_decided_nothing_says_so() -> None:
    async with console(SMALL) as pilot:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        app.fleet.nodes["box-1"].log.clear()
        await pilot.press("4", "D")
        assert "it has decided nothing lately" in await drawn(pilot)
        await pilot.press("enter")
        assert "0 decisions" in await drawn(pilot)


async def test_a_policy_of_any_name_is_no_markup() -> None:
    async with console(LARGE) as pilot:
        await drawn(pilot)
        pilot.app.push_screen(DecisionsScreen("[red]my:Policy"))
        await drawn(pilot)
        assert "[red]my:Policy: 0 decisions" in await drawn(pilot)


def test_the_sums_are_of_all_that_is_listed() -> None:
    log = EventLog()
    for seq, event in enumerate(run_events(), 1):
        log.add(seq, event, "")
    told = decided(policies().policies[0], MATES, folded(run_events()), log)
    assert told.other == 35
    assert sum(one.worth_tokens for one in told.decisions) == told.found_tokens - told.missed_tokens


def test_gains_are_not_summed_beyond_the_losses_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run keeps two losses of three. b's is forgotten, although its node went after that of a, whose loss is the
    oldest that is kept: it was missed later."""

    def gone(t_s: int, node: int, agent: str, instead: int = e.NO_NODE) -> e.NodeEvicted:
        return msgspec.structs.replace(went(t_s, node, instead), agents=(agent,))

    def missed(t_s: int, agent: str) -> e.PrefixMatched:
        return matched(t_s, e.NO_NODE, cached=0, agent=agent)

    events = [
        *(added(1, node) for node in (6, 7, 8, 9, 11, 12, 13, 14)), gone(2, 11, "a", instead=7),
        gone(3, 12, "b", instead=8), matched(4, 8), missed(5, "b"), gone(6, 13, "c", instead=9), missed(7, "a"),
        gone(8, 14, "d", instead=6), missed(9, "c"), matched(10, 6),
    ]  # fmt: skip
    whole = lately(events)
    assert (whole.since_ns, whole.evictions, whole.other) == (0, 4, 4)
    assert (whole.found_tokens, whole.missed_tokens) == (200, 300)
    monkeypatch.setattr(fold_ghosts, "HURTS_KEPT", 2)
    rest = lately(events)
    assert (rest.since_ns, rest.evictions, rest.other, rest.found_tokens, rest.missed_tokens) == (7 * S, 1, 1, 100, 0)
    assert [(one.worth_tokens, one.came) for one in rest.decisions] == [
        (100, "not missed; kept 100 found"), *[(0, "not known any more")] * 3,
    ]  # fmt: skip
    assert lately_words(OURS, rest).startswith(
        "kv_caching evicted 1 node since 00:00:07.0 (older losses are forgotten), 1 of them where LRU would"
    )


def test_sums_without_any_loss_that_is_known_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_ghosts, "HURTS_KEPT", 2)
    off = e.PolicySwitched(t_ns=3 * S, policy="kv_caching", enabled=False)
    told = lately(
        [
            *(added(1, node) for node in (7, 8, 9, 10)), went(2, 8, instead=7), off,
            *(went(4, node) for node in (7, 9, 10)), matched(5, e.NO_NODE, cached=0, agent="planner"),
        ]
    )  # fmt: skip
    assert (told.evictions, told.since_ns) == (0, 5 * S)
    assert lately_words(OURS, told) == "what kv_caching evicted is too long ago: its losses are forgotten"
