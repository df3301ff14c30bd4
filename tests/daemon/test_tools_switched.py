"""Memoization switched at a daemon reaches the processes that call tools, over real brokers; nobody follows those."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from brokers import open_raw, until
from tool_nodes import RULES, order, table

from radixdeck.daemon.journal import Journal
from radixdeck.daemon.paths import home_of
from radixdeck.daemon.publishing import Publisher
from radixdeck.daemon.tools.keeper import Keeper
from radixdeck.daemon.tools.node import Node
from radixdeck.daemon.tools.report import Report
from radixdeck.daemon.wire import ROOT, AgentsTable, BrokerAddress
from radixdeck.policies.events import PolicyFailed, PolicySwitched
from radixdeck.storage.session import open_session

NODE = "mcp-coder"
OFF = table(off=["lru", "memoization"])
GARBAGE = (b'{"agents": [], "off": 7}', b'{"agents": [], "off": [7]}', b'{"off": ["memoization"]}', b"\xff", b"[]")


def proxy(broker: BrokerAddress, folder: Path) -> tuple[Keeper, Node]:
    report = Report(lambda words: None)
    keeper = Keeper(RULES, report.tell)
    return keeper, Node(NODE, broker, home_of(str(folder)), keeper, report)


async def test_it_is_off_here_while_it_is_at_a_daemon(broker: BrokerAddress, tmp_path: Path) -> None:
    keeper, node = proxy(broker, tmp_path)
    async with open_raw(broker, f"{ROOT}/{NODE}/reply/me") as raw:
        await raw.publish(f"{ROOT}/gpu1/agents", OFF, retain=True)
        async with node.running():
            assert not keeper.on, "who starts later follows too"
            for garbage in GARBAGE:
                await raw.publish(f"{ROOT}/gpu1/agents", garbage)
            await raw.publish(f"{ROOT}/gpu2/agents", OFF)
            still = await order(raw, NODE, "policy", name="memoization", enabled=True)
            assert (still.state, still.detail) == ("done", "memoization stays off: it is at gpu1, gpu2")
            await raw.publish(f"{ROOT}/gpu1/agents", table(off=["lru"]), retain=True)
            await asyncio.sleep(0.1)
            assert not keeper.on
            await raw.publish(f"{ROOT}/gpu2/agents", table())
            await until(lambda: keeper.on, "on at both again")
    (recording,) = (tmp_path / "runs").glob("*.db")
    with open_session(recording) as session:
        kept = [event for _, event in session.events(0, 100)]
    assert [(e.enabled, e.by, e.why) for e in kept if isinstance(e, PolicySwitched)] == [
        (True, "proxy", ""),
        (False, "proxy", "it is switched off at gpu1"),
        (True, "proxy", "it is switched on at gpu2"),
    ]


async def test_what_its_own_operator_switched_off_no_daemon_switches_on(broker: BrokerAddress, tmp_path: Path) -> None:
    keeper, node = proxy(broker, tmp_path)
    async with open_raw(broker, f"{ROOT}/{NODE}/reply/me") as raw, node.running():
        assert (await order(raw, NODE, "policy", name="memoization", enabled=False)).detail == "memoization off"
        for told in (OFF, table()):
            await raw.publish(f"{ROOT}/gpu1/agents", told)
        await raw.publish(f"{ROOT}/gpu1/agents", table("coder"))
        await until(lambda: keeper.permits.is_quarantined("coder"), "all that was told")
        assert not keeper.on
        assert (await order(raw, NODE, "policy", name="memoization", enabled=True)).detail == "memoization on"
        assert keeper.on


@pytest.mark.parametrize("leads", [True, False])
def test_a_daemon_tells_what_was_switched_off_in_its_run_and_a_proxy_does_not(leads: bool) -> None:
    recorder = cast("Any", SimpleNamespace(record=lambda *_: None, wants_keyframe=False))
    sent: list[bytes] = []
    mqtt = cast("Any", SimpleNamespace(publish=lambda _leaf, payload, **_: sent.append(payload)))
    journal = Journal("r", recorder)
    publisher = Publisher(mqtt, journal, cast("Any", None), recorder, leads=leads)
    told: list[list[str]] = []
    for event in (
        None,
        PolicySwitched(t_ns=1, policy="memoization", enabled=True),
        PolicySwitched(t_ns=2, policy="memoization", enabled=False),
        PolicyFailed(t_ns=3, policy="admission", call="score", error="x"),
        PolicySwitched(t_ns=4, policy="memoization", enabled=True),
    ):
        if event is not None:
            journal.append(event)
        publisher.send_agents()
        told.append(msgspec.json.decode(sent[-1], type=AgentsTable).off)
    expected = [[], [], ["memoization"], ["admission", "memoization"], ["admission"]]
    assert told == (expected if leads else [[]] * 5), "what was never on is not switched off"
