"""What doorkeepers are told later is told in order, before anybody judges, and once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from installed import install

from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Asked, BaseDoorkeeper, Came, DoorFact, Entered, Left, Verdict
from radixdeck.policies.events import PolicyFailed, PolicySwitched
from radixdeck.policies.primitives import BasePolicy

ASKED = Asked(rid="r1", agent="a", session="s")
CAME, ENTERED = Came(t_s=1.0, asked=ASKED), Entered(t_s=2.0, asked=ASKED)
LEFT = Left(t_s=3.0, asked=ASKED, entered=True)


class Listener(BaseDoorkeeper, BasePolicy):
    """Remembers what it was told; falls over those of agent 'bad'."""

    name: ClassVar[str] = "listener"
    told: ClassVar[list[DoorFact | str]] = []

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        self.told.append("asked")
        return super().admit(asked, now_s)

    def notice(self, fact: DoorFact) -> None:
        if fact.asked.agent == "bad":
            raise ArithmeticError("broken")
        self.told.append(fact)


@pytest.fixture(autouse=True)
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, listener=f"{__name__}:Listener")
    Listener.told.clear()


def test_it_waits_and_is_told_once() -> None:
    host = DoorHost(["listener"])
    host.notice(CAME)
    assert host.notice_later(ENTERED), "somebody has to see to it that it is told"
    assert not host.notice_later(LEFT), "that somebody is seen to already"
    assert Listener.told == [CAME]
    host.settle()
    host.settle()
    assert Listener.told == [CAME, ENTERED, LEFT]
    assert host.notice_later(ENTERED)


CALLS: list[tuple[Callable[[DoorHost], object], list[object]]] = [
    (lambda host: host.notice(LEFT), [LEFT]),
    (lambda host: host.judge(ASKED, 4.0), ["asked"]),
    (lambda host: host.follow(PolicySwitched(t_ns=4, policy="fairness", enabled=True)), []),
    (lambda host: host.follow(PolicySwitched(t_ns=4, policy="listener", enabled=False)), []),
    (lambda host: host.obey("safety", ""), []),
    (lambda host: host.hedge("listener", ASKED, 1.0, 4.0), []),
]


@pytest.mark.parametrize(("call", "then"), CALLS)
def test_it_is_told_before_anything_else(call: Callable[[DoorHost], object], then: list[object]) -> None:
    host = DoorHost(["listener"])
    host.notice_later(ENTERED)
    call(host)
    assert Listener.told == [ENTERED, *then]


def test_one_that_falls_over_what_it_is_told_later_is_put_out_and_the_others_are_told() -> None:
    failures: list[PolicyFailed] = []
    host = DoorHost(["listener", "fairness"], failed=failures.append)
    host.notice_later(Entered(t_s=2.0, asked=Asked(rid="r", agent="bad")))
    host.notice_later(LEFT)
    host.settle()
    assert [(fact.policy, fact.call, fact.t_ns) for fact in failures] == [("listener", "notice", 2_000_000_000)]
    assert [name for name, _ in host.on] == ["fairness"]
    assert Listener.told == []
