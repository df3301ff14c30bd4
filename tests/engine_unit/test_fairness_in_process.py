"""With fairness on, which orders evictions too, the modelled cache still does what the real one does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import Callers, Clock, facts, modelled, record, start

from radixdeck.policies.door.cache_shares import GOES_FIRST
from radixdeck.policies.events import NodeEvicted, PolicySwitched
from radixdeck.policies.host import PolicyHost

Maker = Callable[..., Any]


@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
def test_every_event_is_the_same_with_fairness_on(
    ours: Maker, policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On from the start, off for a while in the middle."""
    shares = {"fairness": {"cache_share": 0.15}}
    bench, clock = ours(700, host=PolicyHost([policy, "fairness"], shares)), Clock(1)
    monkeypatch.setattr(bench.observer.stream, "now_ns", clock.now_ns)
    start(bench, clock, policy, 700, 1)
    callers = Callers(bench, clock, 1, 64, overlap=True)
    for enabled in (False, True, False):
        callers.run(70, 4)
        bench.observer.stream.emit(PolicySwitched(t_ns=clock.now_ns(), policy="fairness", enabled=enabled))
    path = record(tmp_path / "run.sqlite", bench.events, enabled=[policy, "fairness"], tunables=shares)
    outcome, events = modelled(path, policy)
    assert facts(bench.events) == facts(events)
    assert outcome.cached_tokens == outcome.recorded_tokens > 0
    ordered = [event.score < GOES_FIRST / 2 for event in bench.kinds(NodeEvicted)]
    assert 20 < sum(ordered) < len(ordered) - 20
