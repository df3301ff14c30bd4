"""The table of policies: scores are worked out for those who look on, and for no more than are shown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from radixdeck.daemon import policies_table as module
from radixdeck.daemon import publishing
from radixdeck.daemon.journal import Journal
from radixdeck.daemon.policies_table import MAX_SCORES, policies_table
from radixdeck.daemon.publishing import Publisher
from radixdeck.daemon.wire import PoliciesTable
from radixdeck.policies.events import NodeAdded
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.residency import NodeView, RunState
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder


def state_of(nodes: int, sessions: int) -> RunState:
    return RunState(
        nodes={
            node: NodeView(
                node=node, parent=0, start=0, tokens=64, agents=("a",), role="private", session=f"s{node % sessions}"
            )
            for node in range(nodes)
        }
    )  # fmt: skip


@pytest.mark.parametrize(("sessions", "asked"), [(3, 3), (4_000, MAX_SCORES)])
def test_a_subject_is_made_once_and_no_more_than_are_scored(
    monkeypatch: pytest.MonkeyPatch, sessions: int, asked: int
) -> None:
    made: list[Any] = []
    real = module.subject_of
    monkeypatch.setattr(module, "subject_of", lambda *told: made.append(told) or real(*told))
    table = policies_table(PolicyHost(["lru"]), state_of(4_000, sessions), 1.0)
    assert [score.session for score in table.scores] == [f"s{number}" for number in range(asked)]
    assert len(made) == asked


def test_pinned_nodes_have_a_score_of_their_own() -> None:
    state = state_of(6, 2)
    state.nodes[4].pinned = True
    table = policies_table(PolicyHost(["lru"]), state, 1.0)
    assert [(score.session, score.node) for score in table.scores] == [("s0", -1), ("s1", -1), ("s0", 4)]


async def test_scores_are_published_only_while_somebody_looks_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = RunInfo(run="r", node="gpu1", started_ns=1, version="0", model="m", config={})
    recorder, host = Recorder(tmp_path / "run.db", info), PolicyHost(["lru"])
    sent: dict[str, bytes] = {}
    mqtt = cast("Any", SimpleNamespace(publish=lambda leaf, payload, **_: sent.update({leaf: payload})))
    journal = Journal("r", recorder)
    publisher = Publisher(mqtt, journal, lambda: host, recorder, ["lru"])
    journal.append(NodeAdded(t_ns=1, node=1, parent=0, start=0, tokens=9, agent="a", session="s"))

    def scores() -> int:
        return len(msgspec.json.decode(sent["policies"], type=PoliciesTable).scores)

    publisher.send_policies()
    assert scores() == 0
    publisher.watch(resync=False)
    assert scores() == 1, "who begins to look on does not wait for the next second"
    publisher.send_policies()
    assert scores() == 1
    monkeypatch.setattr(publishing, "WATCH_S", -1.0)
    publisher.watch(resync=False)
    publisher.send_policies()
    assert scores() == 0
    await recorder.close()
