"""Made-up measurements of both systems, for tests of verdicts, records and tables."""

from __future__ import annotations

import msgspec

from radixdeck.demos.measure import Bound, Summary
from radixdeck.demos.versus import Comparison, Repetition


def summary(hit_rate: float, ttft_s: float, requests_per_s: float = 2.0, **changes: object) -> Summary:
    told = dict.fromkeys(Summary.__struct_fields__, 0) | {"requests": 10, "prompt_tokens": 1_000}
    told |= {"hit_rate": hit_rate, "ttft_mean_s": ttft_s, "requests_per_s": requests_per_s}
    return msgspec.convert(told | changes, Summary)


def repetition(seed: int, theirs: Summary, ours: Summary, bound: float = 0.6) -> Repetition:
    return Repetition(seed=seed, first="sglang", sglang=theirs, radixdeck=ours, bound=Bound(bound, 10))


def comparison(*repetitions: Repetition, name: str = "gaia", kv_tokens: int = 7_000, tight: bool = True) -> Comparison:
    return Comparison(name=name, kv_tokens=kv_tokens, tight=tight, workload={}, repetitions=list(repetitions))


GOOD = repetition(1, summary(0.2, 0.4), summary(0.5, 0.3, 2.4))
"""Above all three floors."""
EQUAL = repetition(1, summary(0.6, 0.3), summary(0.6, 0.3))
"""Both systems alike, as where nothing is evicted."""
