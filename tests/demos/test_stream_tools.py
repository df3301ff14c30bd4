"""Tools in modelled streams: who calls which, and what a policy that learns per tool makes of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from radixdeck.demos.stream_spec import StreamSpec
from radixdeck.demos.streams import TUNING_SEEDS, generate_stream, scripted
from radixdeck.policies.events import ToolCalled
from radixdeck.storage.evaluate import evaluate


@pytest.mark.parametrize("ids", ["true", "none"])
def test_a_tool_call_names_the_tool_of_whoever_calls_it_whatever_callers_say(ids: Any) -> None:
    """Each agent has one, of a speed of its own."""
    spec = StreamSpec(seed=5, requests=300, tool_share=0.4, ids=ids)
    calls = scripted(msgspec.structs.replace(spec, ids="true"))
    wanted = {f"r{number}": (f"tool of {call.agent}",) for number, call in enumerate(calls) if call.tool}
    moments = generate_stream(spec).moments
    told = {event.rid: event.tools for event, _ in moments if isinstance(event, ToolCalled)}
    assert told == wanted
    assert len(set(told.values())) == spec.agents


def test_pinning_through_tool_calls_is_worth_more_than_pages_alone_as_it_comes():
    """It learns how long each tool takes, and keeps for long enough."""
    spec = StreamSpec(seed=TUNING_SEEDS[0], requests=200, topology="pipeline", agents=6, tool_share=0.4)
    stream = generate_stream(spec)
    size = stream.working_set_tokens // 3
    pinned, pages, whole = (evaluate(stream, name, size) for name in ("ttl_pinning", "lru_pages", "lru"))
    short = evaluate(stream, "ttl_pinning", size, tunables={"benefit_s": 2.0, "first_ttl_s": 2.0})
    assert pinned.cached_tokens > 1.02 * short.cached_tokens
    assert short.cached_tokens > pages.cached_tokens > whole.cached_tokens == whole.lru_tokens
