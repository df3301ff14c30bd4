"""The five workloads of arXiv 2605.27744 by name: their settings and the sizes of KV memory they are measured at.

Casts, with their sources, are in `casts.py`. Shapes and sizes were chosen on the tuning seeds with `shape.py`, by the
exact bound and LRU alone: the tight size is that, in thousands, at which the bound's lead over LRU is largest on the
tuning seed where it is smallest. It is 26 to 33 points there on the mean. That is the second choice of sizes and of the
length of a run; docs/benchmarks.md says what the first one showed.
"""

from __future__ import annotations

import msgspec

from .workloads import WorkloadError, WorkloadSpec

REQUESTS = 120
"""Per run: about a minute on two CPU cores. With half as many, sessions of ten turns have hardly begun to end, and the
worst seed is far from the others."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """`kv_tokens`: tight, where the exact bound is farthest above LRU; larger; and nothing is evicted."""

    spec: WorkloadSpec
    kv_tokens: tuple[int, int, int]


def _spec(
    cast: str, *, agents: int, sessions: int, pause_requests: float, remark_tokens: tuple[int, int]
) -> WorkloadSpec:
    return WorkloadSpec(
        cast=cast, agents=agents, sessions=sessions, pause_requests=pause_requests, remark_tokens=remark_tokens,
        requests=REQUESTS, style="supervisor", task_tokens=(0, 0),
    )  # fmt: skip


_MMLU = _spec("mmlu", agents=6, sessions=3, pause_requests=2, remark_tokens=(50, 120))
_MT_BENCH = _spec("mt_bench", agents=7, sessions=4, pause_requests=3, remark_tokens=(60, 160))
_GAIA = _spec("gaia", agents=8, sessions=6, pause_requests=2, remark_tokens=(20, 60))
_GSM8K = _spec("gsm8k", agents=6, sessions=3, pause_requests=4, remark_tokens=(70, 160))
_HUMANEVAL = _spec("humaneval", agents=6, sessions=3, pause_requests=2, remark_tokens=(60, 160))
_with = msgspec.structs.replace

NAMED: dict[str, Named] = {
    "mmlu": Named(
        spec=_with(_MMLU, topology="debate", style="private"),
        kv_tokens=(7_000, 10_000, 80_000),
    ),
    "mt_bench": Named(
        spec=_with(_MT_BENCH, topology="two_turns", task_tokens=(0, 60), material_tokens=(60, 120)),
        kv_tokens=(7_000, 10_000, 80_000),
    ),
    "gaia": Named(
        spec=_with(_GAIA, topology="selector", task_tokens=(0, 40), material_tokens=(60, 180)),
        kv_tokens=(10_000, 14_000, 80_000),
    ),
    "gsm8k": Named(
        spec=_with(_GSM8K, topology="pipeline", material_tokens=(30, 60)),
        kv_tokens=(7_000, 10_000, 80_000),
    ),
    "humaneval": Named(
        spec=_with(_HUMANEVAL, topology="test_loop", material_tokens=(60, 160)),
        kv_tokens=(9_000, 12_000, 100_000),
    ),
}


def spec_of(name: str, seed: int, requests: int | None = None) -> WorkloadSpec:
    """Settings of a named workload. Raises WorkloadError for an unknown name."""
    if name not in NAMED:
        raise WorkloadError(f"workload: no {name!r}; known: {', '.join(NAMED)}")
    spec = NAMED[name].spec
    return msgspec.structs.replace(spec, seed=seed, requests=spec.requests if requests is None else requests)
