"""Seeded streams of multi-agent requests for the modelled cache: sessions arrive as a Poisson process and interleave.

Tuning and reporting seeds are those of `workloads`: whatever is tuned on modelled streams is tuned on TUNING_SEEDS.
"""

from __future__ import annotations

from itertools import count
from random import Random

from radixdeck.storage.streams import Stream

from .stream_ids import identified, renamed
from .stream_sessions import Cast, Script, make_cast
from .stream_spec import Call, StreamSpec, check
from .stream_tell import tell
from .workloads import REPORT_SEEDS, TUNING_SEEDS

__all__ = ["REPORT_SEEDS", "TUNING_SEEDS", "Stream", "StreamSpec", "generate_stream", "scripted"]

PILOTS = 48
"""Sessions whose mean duration tells how often new ones have to arrive."""


def generate_stream(spec: StreamSpec, name: str = "") -> Stream:
    """The stream of a spec; equal specs give equal streams. Raises WorkloadError if a setting makes no sense."""
    calls = renamed(scripted(spec), spec.ids, spec.seed)
    calls = identified(calls) if spec.identified else calls
    return tell(name or name_of(spec), calls, tells_ends=spec.tells_ends, tells_next=spec.tells_next)


def name_of(spec: StreamSpec) -> str:
    """What a stream is called where nobody gave it a name."""
    told = [spec.topology, spec.style, f"{spec.agents} agents", f"seed {spec.seed}"]
    odd = [value for value in (spec.change, spec.prompts, spec.ids) if value not in ("", "fixed", "true")]
    return ", ".join([*told, *odd, *(["identified"] if spec.identified else [])])


def scripted(spec: StreamSpec) -> list[Call]:
    """The first `spec.requests` calls by the time they start. Raises WorkloadError."""
    check(spec)
    before = make_cast(spec, changed=False)
    every_s = _mean_duration_s(spec, before) / spec.live_sessions
    calls = _sessions(spec, every_s, before, before, float("inf"))
    if not spec.change:
        return calls
    half_s = calls[len(calls) // 2].start_s
    return _sessions(spec, every_s, before, make_cast(spec, changed=True), half_s)


def _mean_duration_s(spec: StreamSpec, cast: Cast) -> float:
    total_s = 0.0
    for number in range(PILOTS):
        *_, last = Script(spec, cast, -1 - number).calls(0.0)
        total_s += last.finish_s
    return total_s / PILOTS


def _sessions(spec: StreamSpec, every_s: float, before: Cast, after: Cast, change_s: float) -> list[Call]:
    """Sessions that begin every `every_s` on the mean, from `change_s` on with another cast, until no session that is
    still to come can be among the first requests."""
    arrivals, begin_s = Random(f"arrivals {spec.seed}"), 0.0
    calls: list[Call] = []
    for number in count():
        begin_s += arrivals.expovariate(1 / every_s)
        if len(calls) >= spec.requests and begin_s > calls[spec.requests - 1].start_s:
            break
        calls += Script(spec, after if begin_s >= change_s else before, number).calls(begin_s)
        calls.sort(key=lambda call: call.start_s)
    return calls[: spec.requests]
