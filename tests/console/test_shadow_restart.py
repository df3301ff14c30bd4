"""An engine starts again while a shadow runs: with another size of memory all begins anew, else the counts go on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from shadow_stage import record, served_events

from radixdeck.console.shadow_run import Choice, Shadow
from radixdeck.policies import events as ev
from radixdeck.storage.beside import BesideView

CHOICE = Choice("lru", "kv_caching")


def twice(times: int, page_size: int) -> tuple[ev.AnyEvent, ...]:
    """The same requests before and after a start with so many times the memory."""
    events = served_events()
    started = events[0]
    assert isinstance(started, ev.EngineStarted)
    gap_ns = events[-1].t_ns + 1 - started.t_ns
    size = started.capacity_tokens * times
    other = msgspec.structs.replace(started, capacity_tokens=size, page_size=page_size)
    return (*events, *(msgspec.structs.replace(event, t_ns=event.t_ns + gap_ns) for event in (other, *events[1:])))


def followed(shadow: Shadow, *targets: int) -> BesideView:
    for target in targets:
        while shadow.step(target):
            pass
        assert not shadow.trouble
    assert shadow.view is not None
    return shadow.view


@pytest.mark.parametrize(("times", "page_size"), [(4, 1), (1, 16)])
def test_with_another_size_it_is_as_if_it_were_opened_after_it(tmp_path: Path, times: int, page_size: int) -> None:
    path = record(tmp_path / "run.db", twice(times, page_size))
    begun = len(served_events())
    live, opened = Shadow(path, CHOICE), Shadow(path, CHOICE)
    before = followed(live, begun)
    after = followed(live, begun + 100, 2 * begun)
    assert after == followed(opened, 2 * begun)
    assert live.words == opened.words == f"following from event {begun + 1:,}"
    assert before.curve is not None
    assert after.curve is not None
    assert after.curve.kv_tokens == times * before.curve.kv_tokens
    live.close()
    opened.close()


def test_with_the_same_size_the_counts_go_on(tmp_path: Path) -> None:
    events = twice(1, 1)
    shadow = Shadow(record(tmp_path / "run.db", events), CHOICE)
    view = followed(shadow, len(events) // 2, len(events))
    assert [side.requests for side in view.sides] == [160, 160]
    assert shadow.words == "following from event 1"
    shadow.close()
