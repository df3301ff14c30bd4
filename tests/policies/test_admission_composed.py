"""Admission beside other policies at the door: nobody is kept back for a session that those hold or order later."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from crowd import started

from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Asked, Came, Entered, Left
from radixdeck.policies.events import SessionEnded

TUNED = {"admission": {"foresight": 0.0, "fill": 1.0, "busy": 0.0}}


class Asking:
    """Callers before several policies. The cache has 1,000 tokens."""

    def __init__(self, *policies: str) -> None:
        self.host = DoorHost(list(policies), TUNED)
        self.host.follow(started(1_000))
        self._ids: Iterator[int] = count()

    def come(self, session: str, agent: str = "a", tenant: str = "default", about: int = 300) -> Asked:
        asked = Asked(rid=f"r{next(self._ids)}", agent=agent, session=session, tenant=tenant, about_tokens=about)
        self.host.notice(Came(t_s=0.0, asked=asked))
        return asked

    def enter(self, asked: Asked) -> Asked:
        assert self.holder(asked) == ""
        self.host.notice(Entered(t_s=0.0, asked=asked))
        return asked

    def holder(self, asked: Asked) -> str:
        """Who holds it, '' if nobody does."""
        ruling = self.host.judge(asked, 0.1)
        return ruling.by if ruling.verdict.kind == "hold" else ""


def test_who_waits_for_an_anchor_keeps_nobody_else_back() -> None:
    a = Asking("admission", "batch_shaping")
    a.enter(a.come("leads"))
    follows, other = a.come("follows"), a.come("other", agent="b")
    assert a.holder(follows) == "batch_shaping"
    assert a.holder(other) == ""


@pytest.mark.parametrize("many", [1, 50])
def test_a_tenant_that_opens_many_sessions_does_not_put_the_others_behind_them(many: int) -> None:
    a = Asking("admission", "fairness")
    served = a.enter(a.come("large", tenant="acme", about=900))
    theirs = [a.come(f"s{n}", tenant="acme") for n in range(many)]
    other = a.come("other", tenant="zed")
    assert {a.holder(asked) for asked in (*theirs, other)} == {"admission"}
    a.host.notice(Left(t_s=0.0, asked=served, entered=True, prompt_tokens=900, output_tokens=9))
    a.host.follow(SessionEnded(t_ns=1, session="large"))
    assert min((*theirs, other), key=lambda asked: a.host.judge(asked, 0.1).order) is other
    assert {a.holder(asked) for asked in (*theirs, other)} == {""}
