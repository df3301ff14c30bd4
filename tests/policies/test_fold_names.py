"""Whose names are not gone by: kept while it is so, of a bounded number of tenants."""

from __future__ import annotations

from folding import after

from radixdeck.policies.events import NamesDoubted
from radixdeck.policies.residency import RunState


def told(tenant: str, *, doubted: bool = True) -> NamesDoubted:
    return NamesDoubted(t_ns=1, tenant=tenant, what="sessions", doubted=doubted, held=0.2)


def test_doubted_names_are_known_until_they_are_believed_again() -> None:
    assert after(told("a"), told("b"), told("a")).doubted == {"sessions": ["b", "a"]}
    assert after(told("a"), told("b"), told("a", doubted=False)).doubted == {"sessions": ["b"]}
    assert after(told("a"), told("a", doubted=False)) == RunState(t_ns=1)


def test_of_many_tenants_the_latest_are_known() -> None:
    tenants = after(*(told(f"tenant {number}") for number in range(1000))).doubted["sessions"]
    assert tenants[-1] == "tenant 999"
    assert len(tenants) == 16
