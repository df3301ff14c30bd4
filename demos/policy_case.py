"""A case for the bench of a policy: what is asked of the engine, how the policy is set, and what it must show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .policy_measures import Count, Floor, Measure
from .workloads import Turn


@dataclass(frozen=True)
class PolicyCase:
    """`says`: what it must show, in words. `turns`: the requests by seed and how many are wanted (a case may make fewer
    or more to end with whole sessions). `repetitions`: unless the caller wants another number. `sessions`: open at
    once, each with a caller of its own; `arrivals`: each comes at a time of its own, as Plan says. `tunables`: the
    policy's; `rules`: of policies by name. `together`: what is switched, if not just the policy. `beside`: policies
    that are on all the time. `measures`: the numbers that matter; `counts`: those that no outcome of a request holds;
    floors are for some of them. `sglang_args`: the engine's. `holds`: whether the policy must have held or refused
    somebody (True) or nobody (False) while it was on. `second`: SGLang as it comes runs beside, as the second engine of
    policies that use one, and they must have used it, unless `holds` says that there is nothing to do. `tool_s`: what a
    tool takes that the sessions call, on an MCP server behind the proxy, with the rules of memoization; 0: they call
    none."""

    name: str
    says: str
    turns: Callable[[int, int], list[Turn]]
    requests: int
    sessions: int
    kv_tokens: int
    measures: tuple[Measure, ...]
    counts: tuple[Count, ...] = ()
    floors: tuple[Floor, ...] = ()
    repetitions: int = 4
    tunables: dict[str, float] = field(default_factory=dict[str, float])
    rules: dict[str, str] = field(default_factory=dict[str, str])
    together: tuple[str, ...] = ()
    beside: tuple[str, ...] = ("kv_caching",)
    sglang_args: tuple[str, ...] = ()
    arrivals: bool = False
    holds: bool | None = None
    second: bool = False
    tool_s: float = 0.0

    @property
    def units(self) -> dict[str, str]:
        """Of all its numbers, by name."""
        return {number.name: number.unit for number in (*self.measures, *self.counts)}
