"""Every subset of the policies, each on for a request or two of traffic that fills the cache: none of them raises,
whatever was on before, and what they want done is never contradictory."""

from __future__ import annotations

from itertools import chain, combinations

import msgspec
from traffic import Shape, run

from radixdeck.policies.conflicts import settle
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Asked, Came, Entered, Left
from radixdeck.policies.events import (
    ActionTaken,
    EngineEvent,
    EngineLoadSampled,
    NodeEvicted,
    PolicyFailed,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import PREEMPTED
from radixdeck.policies.registry import BUILT_IN

TOKEN_NS = 100_000
"""What computing one takes: the tree by itself knows no time."""
POLICIES = tuple(
    name for name, target in BUILT_IN.items() if not target.startswith("baselines.") and name not in ("lru", "operator")
)
ALL = chain.from_iterable(combinations(POLICIES, size) for size in range(len(POLICIES) + 1))
SUBSETS = sorted(({*some} for some in ALL), key=lambda some: "speculation" in some)
"""Those with `speculation` in a row, since it asks for something only when it has seen enough."""


class Switched(PolicyHost):
    """Goes to the next subset with every request, and stands at the door too. `acted`: what was asked for."""

    def __init__(self) -> None:
        super().__init__([], {"speculation": {"delay_weight": 0.0, "margin": 0.0}})
        self.subsets = iter(SUBSETS)
        self.failures: list[PolicyFailed] = []
        self.door = DoorHost([], failed=self.failures.append)
        self.acted = self.evicted = 0
        self.together: set[str] = set()

    def observe(self, event: EngineEvent) -> list[EngineEvent]:
        if isinstance(event, PrefixMatched):
            self._next_subset(event.t_ns)
            self._ask(event)
        if isinstance(event, PrefixInserted):
            event = msgspec.structs.replace(event, t_ns=event.t_ns + TOKEN_NS * event.new_tokens)
        self.evicted += isinstance(event, NodeEvicted)
        self.door.follow(event)
        told = super().observe(event)
        self.failures += [fact for fact in told if isinstance(fact, PolicyFailed)]
        return told

    def _next_subset(self, t_ns: int) -> None:
        self.together = next(self.subsets, set())
        for name in POLICIES:
            event = PolicySwitched(t_ns=t_ns, policy=name, enabled=name in self.together)
            self.door.follow(event)
            super().observe(event)
        assert {seat.name for seat in self._seats.values() if seat.enabled} >= self.together

    def _ask(self, event: PrefixMatched) -> None:
        """The request at the door, and what is done while nothing else is."""
        now_s = event.t_ns / 1e9
        asked = Asked(rid=event.rid, agent=event.agent, session=event.session, about_tokens=event.prompt_tokens)
        self.door.notice(Came(t_s=now_s, asked=asked))
        assert self.door.judge(asked, now_s).verdict.kind in ("pass", "admit", "hold")
        self.door.notice(Entered(t_s=now_s, asked=asked))
        self.door.notice(Left(t_s=now_s, asked=asked, entered=True, prompt_tokens=event.prompt_tokens, output_tokens=8))
        pool = {"used_tokens": 12_000, "evictable_tokens": 12_000, "capacity_tokens": 12_000}
        super().observe(EngineLoadSampled(t_ns=event.t_ns, running=0, waiting=0, **pool))
        wanted = self.act(now_s)
        assert settle(wanted) == wanted
        assert {policy for policy, _ in wanted} <= {*self.together, "operator"}
        for number, (policy, action) in enumerate(wanted):
            self.acted += 1
            super().observe(
                ActionTaken(
                    t_ns=event.t_ns, id=f"{event.rid}-{number}", kind=action.kind, agent=action.agent, node=action.node,
                    amount=action.amount, by=policy, session=action.session, ok=False, result=PREEMPTED,
                )
            )  # fmt: skip


def test_every_subset_can_be_on_and_follow_any_other() -> None:
    assert {"kv_caching", "speculation", "hedging", "safety"} <= {*POLICIES}
    host = Switched()
    run(Shape("selector", style="supervisor", requests=len(SUBSETS) + 1), "lru", 12_000, host=host)
    assert next(host.subsets, None) is None, "all of them were on"
    assert host.failures == []
    assert [facts.failed for facts in host.info() if facts.failed] == []
    assert host.evicted > len(SUBSETS)
    assert host.acted > 0
