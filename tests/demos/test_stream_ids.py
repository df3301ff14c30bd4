"""Callers that name themselves badly: prompts and times stay, and the daemon's front tells most of them apart."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

import pytest

from radixdeck.demos.stream_ids import RENAMES, identified, renamed
from radixdeck.demos.stream_spec import StreamSpec
from radixdeck.demos.stream_tell import tell
from radixdeck.demos.streams import scripted
from radixdeck.policies.events import PrefixMatched

SHORT: dict[str, Any] = {"seed": 5, "requests": 150}


@pytest.mark.parametrize("ids", RENAMES)
def test_whatever_callers_say_prompts_and_times_stay(ids: Any) -> None:
    calls = scripted(StreamSpec(**SHORT))
    said = renamed(calls, ids, 5)
    assert [(call.prompt, call.start_s) for call in said] == [(call.prompt, call.start_s) for call in calls]
    if ids == "true":
        assert said == calls
    else:
        assert [(call.agent, call.session) for call in said] != [(call.agent, call.session) for call in calls]
    assert renamed(calls, ids, 5) == said
    matched = [event for event, _ in tell("ids", said).moments if isinstance(event, PrefixMatched)]
    assert [(event.agent, event.session) for event in matched] == [(call.agent, call.session) for call in said]


@pytest.mark.parametrize("ids", [ids for ids in RENAMES if not ids.startswith(("true", "one", "all"))])
def test_the_daemon_tells_apart_whom_names_do_not(ids: Any) -> None:
    calls = scripted(StreamSpec(seed=5, requests=500, agents=12, topology="mixture"))
    told = identified(renamed(calls, ids, 5))
    assert [(call.prompt, call.start_s) for call in told] == [(call.prompt, call.start_s) for call in calls]
    for name_of in (lambda call: call.agent, lambda call: call.session):
        late = [(name_of(true), name_of(seen)) for true, seen in zip(calls, told, strict=True)][100:]
        assert max(Counter(seen for _, seen in set(late)).values()) <= 2, "two share a name at most"
        assert statistics.fmean(Counter(true for true, _ in set(late)).values()) < 1.6, "few have more than one"


@pytest.mark.parametrize("style", ["private", "supervisor"])
@pytest.mark.parametrize("prompts", ["fixed", "per_task", "per_task_same_name"])
@pytest.mark.parametrize("topology", ["mixture", "debate"])
def test_the_daemon_believes_names_that_hold(topology: Any, prompts: Any, style: Any) -> None:
    calls = scripted(StreamSpec(seed=5, requests=400, topology=topology, prompts=prompts, style=style))
    assert identified(calls) == calls
