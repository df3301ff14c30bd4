"""The table of `radixdeck whatif`, from outcomes made by hand."""

from __future__ import annotations

import msgspec

from radixdeck.console.whatif import lines
from radixdeck.storage.recorded import RecordedFailure
from radixdeck.storage.whatif_outcome import AgentOutcome, Outcome


def agent(name: str, hurt: int | None) -> AgentOutcome:
    return AgentOutcome(
        agent=name, requests=2, prompt_tokens=50, cached_tokens=20, recorded_tokens=10, evictions_that_hurt=hurt,
        hurt_tokens=hurt,
    )  # fmt: skip


def outcome(policy: str, agents: list[AgentOutcome]) -> Outcome:
    return Outcome(
        policy=policy, kv_tokens=100, requests=4, prompt_tokens=100, cached_tokens=40, recorded_tokens=20,
        bound_tokens=50, warm_ups=0, evictions=3, evicted_tokens=30, evictions_that_hurt=1, hurt_tokens=9,
        agents=agents, cached_by_request={}, failures=[], incomplete=0, dropped_events=0, took_s=0.1,
    )  # fmt: skip


def test_what_hurt_agents_that_were_added_up_is_a_dash() -> None:
    """Each policy adds up other agents."""
    known, unknown = [agent("a", 1), agent("b", None)], [agent("a", None), agent("b", 7)]
    cells = {line.split()[0]: line.split()[1:] for line in lines([outcome("x", known), outcome("y", unknown)]) if line}
    assert cells["a"] == ["2", "50", "20.0%", "40.0%", "1", "40.0%", "-"]
    assert cells["b"] == ["2", "50", "20.0%", "40.0%", "-", "40.0%", "7"]


def test_what_broke_in_the_real_engine_is_said() -> None:
    failed = RecordedFailure(1234, "radixdeck", "left", "KeyError: 7")
    one = msgspec.structs.replace(outcome("x", [agent("a", 0)]), recorded_failures=[failed])
    assert list(lines([one]))[-1] == (
        "as recorded: from event 1,234 the engine ran on its own order, for radixdeck's part in it failed: left: "
        "KeyError: 7"
    )
