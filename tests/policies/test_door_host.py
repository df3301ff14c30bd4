"""What the doorkeepers say, settled: safety has the last word, then the operator, then fairness, then the others."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from installed import install

from radixdeck.policies.door.host import LONGEST_HOLD_S, DoorHost
from radixdeck.policies.doorkeeping import PASS, Asked, BaseDoorkeeper, Left, RulesError, Verdict
from radixdeck.policies.events import (
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    PolicyFailed,
    PolicySwitched,
    SessionEnded,
    TunableChanged,
)
from radixdeck.policies.parameters import Tunable
from radixdeck.policies.primitives import BasePolicy
from radixdeck.policies.registry import PolicyError

ASKED = Asked(rid="r1", agent="a")
ADMIT, HOLD = Verdict(kind="admit", why="vip"), Verdict(kind="hold", why="full")
REFUSE = Verdict(kind="refuse", why="never")


class Says(BaseDoorkeeper, BasePolicy):
    """Says the same of everybody."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        return self.verdict


class Learns(Says):
    """Learns from the events that it heeds."""

    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (CacheFlushed,)

    def __init__(self) -> None:
        super().__init__(PASS)
        self.seen: list[EngineEvent] = []

    def observe(self, event: EngineEvent) -> None:
        if self.seen:
            raise ArithmeticError("twice")
        self.seen.append(event)


class Theirs(BaseDoorkeeper, BasePolicy):
    """A third party's."""

    name: ClassVar[str] = "theirs"
    doc: ClassVar[str] = "Counts."
    declares: ClassVar[tuple[Tunable, ...]] = (Tunable("longest_hold_s", 7.0, 1.0, 9.0, "s", "Longest hold"),)

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        raise ArithmeticError("broken")


def host(**says: Verdict) -> DoorHost:
    made = DoorHost([])
    order = sorted(says, key=lambda name: ({"safety": 0, "operator": 1}.get(name, 2), name))
    made.on = [(name, Says(says[name])) for name in order]
    return made


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, theirs=f"{__name__}:Theirs")


@pytest.mark.parametrize(
    ("says", "kind", "by"),
    [
        ({}, "pass", ""),
        ({"a": PASS, "b": PASS}, "pass", ""),
        ({"a": PASS, "b": HOLD}, "hold", "b"),
        ({"a": ADMIT, "b": HOLD}, "admit", "a"),
        ({"a": HOLD, "b": REFUSE}, "hold", "a"),
        ({"a": REFUSE, "operator": ADMIT}, "admit", "operator"),
        ({"a": ADMIT, "operator": ADMIT, "safety": REFUSE}, "refuse", "safety"),
        ({"a": HOLD, "safety": PASS}, "hold", "a"),
    ],
)
def test_the_first_in_rank_that_does_not_merely_pass_decides(says: dict[str, Verdict], kind: str, by: str) -> None:
    ruling = host(**says).judge(ASKED, 0.0)
    assert (ruling.verdict.kind, ruling.by) == (kind, by)


def test_the_lowest_limit_holds_whoever_decides_the_rest() -> None:
    ruling = host(a=Verdict(limit_tokens=5), b=Verdict(limit_tokens=9), safety=ADMIT).judge(ASKED, 0.0)
    assert (ruling.verdict.limit_tokens, ruling.limited_by, ruling.by) == (5, "a", "safety")


def test_orders_count_one_after_the_other_and_silence_does_not_keep_back() -> None:
    def order(**says: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
        return host(**{name: Verdict(order=told) for name, told in says.items()}).judge(ASKED, 0.0).order

    assert order(a=(1.0, 9.0), b=(2.0,)) < order(a=(1.0, 9.0), b=(3.0,)) < order(a=(2.0,), b=(0.0,))
    assert order(a=(), b=(9.0,)) < order(a=(0.0,), b=(0.0,))
    assert order(a=(), b=()) == ()


def test_the_first_priority_in_rank_counts_whoever_decides_the_rest() -> None:
    ruling = host(a=PASS, b=Verdict(priority=3), c=Verdict(priority=9), safety=ADMIT).judge(ASKED, 0.0)
    assert (ruling.verdict.priority, ruling.verdict.kind, ruling.by) == (3, "admit", "safety")


def test_a_doorkeeper_is_told_of_the_events_it_heeds_until_it_fails() -> None:
    failures: list[PolicyFailed] = []
    made, learns = DoorHost([], failed=failures.append), Learns()
    made.on = [("learns", learns), ("deaf", Says(PASS))]
    flushed = CacheFlushed(t_ns=1)
    assert not made.follow(EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=9, page_size=1, policy="lru"))
    assert made.follow(flushed)
    assert learns.seen == [flushed]
    made.follow(flushed)
    assert [(fact.policy, fact.call) for fact in failures] == [("learns", "observe")]
    assert [name for name, _ in made.on] == ["deaf"]
    assert not made.follow(flushed)


def test_fairness_ranks_before_the_policies_that_order_for_speed() -> None:
    made = DoorHost(["batch_shaping", "critical_path", "fairness", "safety"])
    assert [name for name, _ in made.on] == ["safety", "fairness", "batch_shaping", "critical_path"]
    assert made.orders_sessions
    assert not DoorHost(["batch_shaping", "fairness"]).orders_sessions


def test_the_shipped_ones_are_switched_tuned_and_ranked() -> None:
    made = DoorHost(["fairness", "kv_caching", "safety", "no such policy"], {"fairness": {"places": 3}})
    assert [name for name, _ in made.on] == ["safety", "fairness"]
    assert made.guarded
    assert made.follow(TunableChanged(t_ns=1, policy="fairness", name="longest_hold_s", value=9.0))
    assert (made.longest_hold_s("fairness"), made.longest_hold_s("safety")) == (9.0, LONGEST_HOLD_S)
    for name in ("fairness", "safety"):
        made.follow(PolicySwitched(t_ns=2, policy=name, enabled=False))
    assert not made.guarded
    made.follow(PolicySwitched(t_ns=3, policy="fairness", enabled=True))
    assert made.longest_hold_s("fairness") == 9.0
    assert not made.follow(CacheFlushed(t_ns=1))


def test_rules_outlive_a_switch_and_bad_ones_change_nothing() -> None:
    made = DoorHost([])
    made.obey("safety", '[everybody]\nmodels = ["m"]')
    with pytest.raises(RulesError, match="line 2"):
        made.obey("safety", "[everybody]\nmodels = 3")
    with pytest.raises(RulesError, match="lru takes no rules"):
        made.obey("lru", "")
    with pytest.raises(PolicyError, match="nobody"):
        made.obey("nobody", "")
    assert made.judge(Asked(rid="r", agent="a", models=("x",)), 0.0).verdict.kind == "pass"
    made.follow(PolicySwitched(t_ns=1, policy="safety", enabled=True))
    assert made.judge(Asked(rid="r", agent="a", models=("x",)), 0.0).verdict.kind == "refuse"


@pytest.mark.usefixtures("theirs")
def test_a_third_partys_that_raises_is_off_until_it_is_switched_on_again() -> None:
    failures: list[PolicyFailed] = []
    made = DoorHost(["theirs"], failed=failures.append)
    assert made.longest_hold_s("theirs") == 7.0
    assert made.judge(ASKED, 2.0).verdict == PASS
    assert [(fact.policy, fact.call, fact.t_ns) for fact in failures] == [("theirs", "admit", 2_000_000_000)]
    assert "ArithmeticError: broken" in failures[0].error
    assert not made.guarded
    made.notice(Left(t_s=3.0, asked=ASKED, entered=True))
    made.follow(PolicySwitched(t_ns=4, policy="theirs", enabled=True))
    assert made.guarded


def test_one_that_fails_closed_does_so_wherever_it_failed() -> None:
    made = DoorHost(["safety", "fairness"])
    made.follow(PolicyFailed(t_ns=1, policy="fairness", call="observe", error="KeyError"))
    assert made.judge(ASKED, 0.0).verdict.kind != "refuse"
    made.follow(PolicyFailed(t_ns=1, policy="safety", call="observe", error="KeyError"))
    ruling = made.judge(ASKED, 0.0)
    assert (ruling.verdict.kind, ruling.verdict.status, ruling.by) == ("refuse", 503, "safety")
    made.follow(PolicySwitched(t_ns=2, policy="safety", enabled=True))
    assert made.judge(ASKED, 0.0).verdict.kind == "pass"


class Onlooker(BaseDoorkeeper, BasePolicy):
    """Remembers what it observes, and falls over a session called 'bad'."""

    name = "onlooker"
    made: ClassVar[list[Onlooker]] = []

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []
        self.made.append(self)

    def observe(self, event: object) -> None:
        self.seen.append(event)
        if isinstance(event, SessionEnded) and event.session == "bad":
            raise ValueError("bad session")


def test_doorkeepers_are_shown_the_engine_and_the_ends_of_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, onlooker=f"{__name__}:Onlooker")
    made = Onlooker.made
    made.clear()
    failed: list[PolicyFailed] = []
    host = DoorHost(["onlooker"], failed=failed.append)
    engine = EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=9, page_size=1, policy="lru")
    ended = SessionEnded(t_ns=2, session="s")
    assert host.follow(engine)
    assert host.follow(ended)
    assert made[0].seen == [engine, ended]
    host.follow(PolicySwitched(t_ns=3, policy="onlooker", enabled=False))
    host.follow(PolicySwitched(t_ns=4, policy="onlooker", enabled=True))
    assert made[1].seen == [engine]  # the engine still is what it was
    host.follow(SessionEnded(t_ns=5, session="bad"))
    assert [(fact.policy, fact.call) for fact in failed] == [("onlooker", "observe")]
    assert not host.on
