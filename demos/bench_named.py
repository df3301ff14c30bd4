"""`python -m radixdeck.demos.bench_named gaia`: the named workloads in the modelled cache, exactly the prompts that the
bench on the real engine sends, on the tuning seeds. For choosing sizes and for looking at a policy without an engine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import fmean

import msgspec

from radixdeck.policies.host import PolicyError
from radixdeck.storage.evaluate import Evaluation, Prefetch, evaluate
from radixdeck.storage.streams import Stream

from .named import NAMED, REQUESTS, spec_of
from .named_stream import named_stream
from .report import points, table
from .workloads import TUNING_SEEDS

HEADER = ["workload", "KV tokens", "LRU %", "bound", "least", "policy", "least", "gap %", "computed tokens", "change %"]


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """A policy on one workload in one size of cache, over the seeds. Points are of hit rate above LRU, mean and least
    of a seed; tokens are those a request has to compute, on the mean, which the time to first token follows."""

    lru: float
    bound_points: float
    least_bound_points: float
    points: float
    least_points: float
    lru_computed_tokens: float
    computed_tokens: float

    @property
    def gap_percent(self) -> float:
        return 100 * self.points / self.bound_points if self.bound_points else 0.0

    @property
    def change_percent(self) -> float:
        return 100 * (self.computed_tokens / self.lru_computed_tokens - 1)


def gain(runs: Sequence[Evaluation]) -> Gain:
    """What runs on the seeds say together; at least one."""
    bounds = [100 * (run.best_hit_rate - run.lru_hit_rate) for run in runs]
    ours = [100 * (run.hit_rate - run.lru_hit_rate) for run in runs]
    return Gain(
        lru=fmean(run.lru_hit_rate for run in runs),
        bound_points=fmean(bounds),
        least_bound_points=min(bounds),
        points=fmean(ours),
        least_points=min(ours),
        lru_computed_tokens=fmean((run.prompt_tokens - run.lru_tokens) / run.requests for run in runs),
        computed_tokens=fmean((run.prompt_tokens - run.cached_tokens) / run.requests for run in runs),
    )


def run(streams: Sequence[Stream], policy: str, kv_tokens: int, *, speculates: bool) -> list[Evaluation]:
    """The policy on each stream; `speculates`: with `speculation` beside it, while the engine is idle. Raises
    PolicyError for an unknown policy."""
    beside = {"speculation": dict[str, float]()} if speculates else {}
    prefetch = Prefetch(when="idle") if speculates else None
    return [evaluate(stream, policy, kv_tokens, beside=beside, prefetch=prefetch) for stream in streams]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per workload and size. Exit codes: 0 done, 1 a policy failed while it ran, 2 could not run."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_named", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *NAMED], default=[])
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"per seed [{REQUESTS}]")
    parser.add_argument("--sizes", type=int, nargs="+", help="KV tokens [those of the bench]")
    parser.add_argument("--policy", default="kv_caching")
    parser.add_argument("--speculation", action="store_true", help="with whole paths prefilled in idle time")
    told = parser.parse_args(arguments)
    rows: list[list[str]] = []
    failures: list[str] = []
    for name in told.names or NAMED:
        try:
            specs = {seed: spec_of(name, seed, told.requests) for seed in TUNING_SEEDS}
            streams = [named_stream(spec, f"{name}, seed {seed}") for seed, spec in specs.items()]
            for kv_tokens in told.sizes or NAMED[name].kv_tokens[:2]:
                runs = run(streams, told.policy, kv_tokens, speculates=told.speculation)
                failures += [failure for one in runs for failure in one.failures]
                rows.append(_row(name, kv_tokens, gain(runs)))
        except (PolicyError, ValueError) as error:
            print(error, file=sys.stderr)
            return 2
    print(table(HEADER, rows))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _row(name: str, kv_tokens: int, told: Gain) -> list[str]:
    lead = (told.bound_points, told.least_bound_points, told.points, told.least_points)
    computed = f"{told.lru_computed_tokens:,.0f} to {told.computed_tokens:,.0f}"
    return [
        name, f"{kv_tokens:,}", points(told.lru), *(f"{one:+.1f}" for one in lead), f"{told.gap_percent:.0f}",
        computed, f"{told.change_percent:+.0f}",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
