"""A shadow has fairness on where the run had, as configured and as switched before the moment it begins at."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from scenario import NODE, RUN, T0_NS
from shadow_stage import served_events

from radixdeck.console.shadow_run import Choice, Shadow
from radixdeck.policies import events as ev
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder


async def write(path: Path, events: list[ev.AnyEvent], enabled: list[str]) -> None:
    config = {"policy": {"enabled": enabled, "tunables": {"fairness": {"cache_share": 0.25}}}}
    recorder = Recorder(path, RunInfo(run=RUN, node=NODE, started_ns=T0_NS, version="0", model="m", config=config))
    for seq, event in enumerate(events, 1):
        recorder.record(seq, event)
    await recorder.close()


@pytest.mark.parametrize(
    ("enabled", "switched", "on"),
    [
        (["lru", "fairness"], None, True),
        (["lru", "fairness"], False, False),
        (["lru"], True, True),
        (["lru"], None, False),
    ],
)
def test_it_is_on_on_both_sides(tmp_path: Path, enabled: list[str], switched: bool | None, on: bool) -> None:
    told = list(served_events())
    switch = () if switched is None else (ev.PolicySwitched(t_ns=T0_NS, policy="fairness", enabled=switched),)
    asyncio.run(write(tmp_path / "run.db", [*switch, *told], enabled))
    shadow = Shadow(tmp_path / "run.db", Choice("lru", "kv_caching"))
    while shadow.step():
        pass
    assert not shadow.trouble
    assert shadow._beside is not None
    for side in shadow._beside.sides:
        (facts,) = [facts for facts in side._host.info() if facts.name == "fairness"]
        assert facts.enabled == on
        assert facts.values["cache_share"] == 0.25
    shadow.close()
