"""Rates over the last seconds, from the same events as everything else."""

from __future__ import annotations

from collections import deque

from radixdeck.policies.events import AnyEvent, PrefixMatched, RequestFinished
from radixdeck.policies.residency import RunState
from radixdeck.storage.recorder import Recorder

from .wire import Metrics

WINDOW_NS = 10_000_000_000


class Window:
    """The last ten seconds of dispatches and answers."""

    def __init__(self) -> None:
        self._matched: deque[tuple[int, int, int]] = deque()
        self._finished: deque[tuple[int, float | None]] = deque()

    def observe(self, event: AnyEvent) -> None:
        match event:
            case PrefixMatched(warm=False):
                self._matched.append((event.t_ns, event.cached_tokens, event.prompt_tokens))
            case RequestFinished():
                self._finished.append((event.t_ns, event.ttft_s))
            case _:
                return

    def metrics(self, now_ns: int, state: RunState, recorder: Recorder) -> Metrics:
        """The wire's Metrics at `now_ns` (UTC nanoseconds)."""
        self._forget(now_ns - WINDOW_NS)
        prompt = sum(tokens for _, _, tokens in self._matched)
        cached = sum(tokens for _, tokens, _ in self._matched)
        ttft = sorted(value for _, value in self._finished if value is not None)
        return Metrics(
            t_ns=now_ns,
            hit_rate=cached / prompt if prompt else 0.0,
            requests_per_s=len(self._finished) / (WINDOW_NS / 1e9),
            ttft_p50_s=_quantile(ttft, 0.5),
            ttft_p95_s=_quantile(ttft, 0.95),
            running=state.running,
            waiting=state.waiting,
            used_tokens=state.used_tokens,
            capacity_tokens=state.capacity_tokens,
            events_dropped=state.totals.dropped_events,
            recorder_backlog=recorder.backlog,
            recorder_dropped=recorder.dropped,
            recorder_failed=recorder.failed,
            blind=state.blind,
        )

    def _forget(self, before_ns: int) -> None:
        while self._matched and self._matched[0][0] < before_ns:
            self._matched.popleft()
        while self._finished and self._finished[0][0] < before_ns:
            self._finished.popleft()


def _quantile(ordered: list[float], q: float) -> float:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0
