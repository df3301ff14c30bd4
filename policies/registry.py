"""Policies by name: the built-in ones and those of the entry-point group `radixdeck.policies`.

Listing names imports nothing; a policy's module is imported when the policy is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Literal

from .primitives import Policy

GROUP = "radixdeck.policies"

BUILT_IN: dict[str, str] = {
    "admission": "admission:Admission",
    "batch_shaping": "batch_shaping:BatchShaping",
    "cachesage": "baselines.cachesage:CacheSage",
    "cachescout": "baselines.cachescout:CacheScout",
    "cachescout_sessions": "baselines.cachescout:CacheScoutSessions",
    "critical_path": "critical_path:CriticalPath",
    "fairness": "fairness:Fairness",
    "hedging": "hedging:Hedging",
    "kv_caching": "kv_caching:KvCaching",
    "kvflow": "baselines.kvflow:KvFlow",
    "lfu": "baselines.frequency:Lfu",
    "lru": "lru:Lru",
    "lru_pages": "baselines.lru_pages:LruPages",
    "memoization": "memoization:Memoization",
    "operator": "operator:Operator",
    "protect_shared": "baselines.protect_shared:ProtectShared",
    "safety": "safety:Safety",
    "slru": "baselines.frequency:Slru",
    "speculation": "speculation:Speculation",
    "ttl_pinning": "baselines.ttl_pinning:TtlPinning",
}


class PolicyError(ValueError):
    """A policy is unknown, cannot be loaded, or may not be switched that way. The message names it."""


def names() -> list[str]:
    """Every policy that can be asked for, sorted."""
    return sorted(BUILT_IN.keys() | _installed().keys())


@lru_cache(maxsize=64)
def cause_of_order(by: str) -> Literal["operator", "policy"]:
    """What an eviction is caused by that `by` ordered: whoever is no policy is a person, whatever the name."""
    return "policy" if by != "operator" and (by in BUILT_IN or by in names()) else "operator"


def create(name: str) -> Policy:
    """A fresh policy. Raises PolicyError if the name is unknown (the message has the known ones), or if a third
    party's module cannot be imported or does not make a policy."""
    if name in BUILT_IN:
        return _built_in(BUILT_IN[name])()
    installed = _installed()
    if name not in installed:
        raise PolicyError(f"no policy named {name!r}; known: {', '.join(names())}")
    return _third_party(name, installed[name])


def _built_in(target: str) -> Callable[[], Policy]:
    module, _, attribute = target.partition(":")
    return getattr(import_module(f"{__package__}.{module}"), attribute)


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _third_party(name: str, point: EntryPoint) -> Policy:
    try:
        policy = point.load()()
    except Exception as error:
        raise PolicyError(f"policy {name!r} ({point.value}) cannot be loaded: {error!r}") from error
    if not isinstance(policy, Policy):
        raise PolicyError(f"policy {name!r} ({point.value}) lacks a part of the Policy contract")
    if policy.name != name:
        raise PolicyError(f"policy {name!r} ({point.value}) calls itself {policy.name!r}")
    return policy
