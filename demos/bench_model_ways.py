"""What the modelled bench compares: baselines, and our policy with and without hints, prefetch and parts of it."""

from __future__ import annotations

from radixdeck.policies.registry import BUILT_IN, create
from radixdeck.storage.evaluate import Prefetch

from .bench_model_cells import Way
from .families import (
    GARBAGE,
    IDENTIFIED,
    LOGS,
    MANY,
    NON_STATIONARY,
    PER_TASK,
    PLAIN,
    TOPOLOGIES,
    Variant,
)

AGENTS = (*TOPOLOGIES, NON_STATIONARY)
"""Families that 'all' is the mean of: agents with names, on generated traffic."""
OURS = "kv_caching"
ENDS = "kv_caching, ends told"
ANCHORS = "kv_caching + anchor warm-up"
NEXT = "kv_caching, next agent and ends told"
PATHS_NEXT = "kv_caching + path prefetch while others decode, next agent told"
PATHS_IDLE = "kv_caching + path prefetch while idle"
PATHS_SPARE = "kv_caching + path prefetch while others decode"
LRU_PAGES = "lru_pages"
"""Nothing published: LRU as we give up leaves, so that what pages bring is not taken for foresight."""
SPECULATION = "speculation"
"""The policy that prefetches, beside ours."""
NO_RISK: dict[str, float] = {"delay_weight": 0.0, "longest_step_s": 10.0}
"""Where loading is no work of the engine's, nobody waits for it."""

PARTS: dict[str, str] = {
    "split_anchors": "anchor splitting",
    "trim_victims": "page-wise eviction",
    "protect_shared": "shared-prefix protection",
    "liveness": "liveness",
    "prediction": "prediction",
    "supersession": "supersession",
}
"""Tunables that switch a part of our policy off at 0, and what they are called."""
GUARD = "guard_margin"
QUICK_BASELINES = (LRU_PAGES, "protect_shared", "kvflow", "cachescout_sessions")
QUICK_GARBAGE = (
    "one agent", "session per request", "agent per request", "random", "none", f"random{IDENTIFIED}",
    f"session per request{IDENTIFIED}",
)  # fmt: skip


def baselines(*, quick: bool) -> list[Way]:
    """Every published rule that is built in, and LRU page by page; LRU as in SGLang is there with every cell."""
    names = sorted(name for name, target in BUILT_IN.items() if target.startswith("baselines."))
    return [Way(label=name, policy=name) for name in names if not quick or name in QUICK_BASELINES]


def ours() -> list[Way]:
    """Our policy by eviction alone, with hints, and with speculation beside it."""
    idle, spare = Prefetch(when="idle"), Prefetch(when="spare")
    return [
        Way(label=OURS, policy=OURS),
        Way(label=ENDS, policy=OURS, tells_ends=True),
        Way(label=NEXT, policy=OURS, tells_ends=True, tells_next=True),
        Way(label=ANCHORS, policy=OURS, beside={SPECULATION: {"paths": 0.0}}, prefetch=idle),
        Way(label=PATHS_IDLE, policy=OURS, beside={SPECULATION: {}}, prefetch=idle),
        Way(label=PATHS_SPARE, policy=OURS, beside={SPECULATION: NO_RISK}, prefetch=spare),
        Way(
            label=PATHS_NEXT,
            policy=OURS,
            beside={SPECULATION: NO_RISK},
            prefetch=spare,
            tells_ends=True,
            tells_next=True,
        ),
    ]


def ways_on(family: str, *, quick: bool) -> list[Way]:
    """In a quick run, hints and prefetch are left to the families whose targets name them."""
    mine = ours()
    return [*(mine[:1] if quick and family not in AGENTS else mine), *baselines(quick=quick)]


def ablations() -> list[Way]:
    """Each part that our policy can leave out: without it, and alone with all others left out."""
    parts = [tunable.name for tunable in create(OURS).declares if tunable.name in PARTS]
    ways = [
        Way(label=f"without {PARTS[name]}", policy=OURS, tunables={name: 0.0}, splits_anchors=name != "split_anchors")
        for name in parts
    ]
    if "split_anchors" not in parts:
        ways.append(Way(label="without anchor splitting", policy=OURS, splits_anchors=False))
    for alone in parts:
        rest = {name: 0.0 for name in parts if name != alone}
        splits = "split_anchors" not in rest
        ways.append(Way(label=f"{PARTS[alone]} alone", policy=OURS, tunables=rest, splits_anchors=splits))
    ways.append(Way(label="without the guard", policy=OURS, tunables={GUARD: 1.0}))
    return ways


def prefetched(family: str, variant: Variant) -> bool:
    """Warm-ups are asked for where callers name twelve agents: they take most of the time."""
    return family in AGENTS and variant.agents == 12


def ablated(family: str, variant: Variant) -> bool:
    """Ablations run on those of them that are named topologies."""
    return family in TOPOLOGIES and prefetched(family, variant)


def quick(family: str, members: list[Variant]) -> list[Variant]:
    """A few members of a family."""
    if family in TOPOLOGIES:
        return [member for member in members if member.agents == 12]
    if family == GARBAGE:
        return [member for member in members if member.name.split(": ")[-1] in QUICK_GARBAGE]
    wanted = {NON_STATIONARY: (0, 3), PER_TASK: (0, 1, 2), MANY: (0,), PLAIN: (0, 2), LOGS: (0, 1, 2)}
    return [members[place] for place in wanted.get(family, ()) if place < len(members)]
