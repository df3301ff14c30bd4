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

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.journal import Journal
from radixdeck.daemon.paths import home_of
from radixdeck.daemon.publishing import Publisher
from radixdeck.daemon.runtime import open_daemon
from radixdeck.daemon.tools.keeper import Keeper
from radixdeck.daemon.tools.node import Node
from radixdeck.daemon.tools.report import Report
from radixdeck.daemon.wire import ROOT, AgentsTable, BrokerAddress, Status
from radixdeck.policies.events import EngineStarted, PolicyFailed, PolicySwitched
from radixdeck.policies.host import PolicyHost
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

NODE = "mcp-coder"
OFF = table(off=["lru", "memoization"])
GARBAGE = (b'{"agents": [], "off": 7}', b'{"agents": [], "off": [7]}', b'{"off": ["memoization"]}', b"\xff", b"[]")


def proxy(broker: BrokerAddress, folder: Path) -> tuple[Keeper, Node]:
    report = Report(lambda words: None)
    keeper = Keeper(RULES, report.tell)
    return keeper, Node(NODE, broker, home_of(str(folder)), keeper, report)


def presence(node: str, *, online: bool) -> bytes:
    return msgspec.json.encode(Status(node=node, online=online))


def switches(folder: Path) -> list[tuple[bool, str, str]]:
    """What the proxy's recording says: on or off, by whom, why."""
    (recording,) = (folder / "runs").glob("*.db")
    with open_session(recording) as session:
        kept = [event for _, event in session.events(0, 100)]
    return [(event.enabled, event.by, event.why) for event in kept if isinstance(event, PolicySwitched)]


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
            why = "policy: memoization is switched off at gpu1, gpu2: switch it on there"
            assert (still.state, still.detail) == ("refused", why)
            await raw.publish(f"{ROOT}/gpu1/agents", table(off=["lru"]), retain=True)
            await asyncio.sleep(0.1)
            assert not keeper.on
            await raw.publish(f"{ROOT}/gpu2/agents", table())
            await until(lambda: keeper.on, "on at both again")
    assert switches(tmp_path) == [
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


async def test_an_order_here_is_told_as_its_givers_though_a_daemon_has_it_off(
    broker: BrokerAddress, tmp_path: Path
) -> None:
    keeper, node = proxy(broker, tmp_path)
    async with open_raw(broker, f"{ROOT}/{NODE}/reply/me") as raw:
        await raw.publish(f"{ROOT}/gpu1/agents", OFF, retain=True)
        async with node.running():
            for on, state in ((False, "done"), (True, "refused")):
                assert (await order(raw, NODE, "policy", name="memoization", enabled=on)).state == state
            await raw.publish(f"{ROOT}/gpu1/agents", table("coder"), retain=True)
            await until(lambda: keeper.permits.is_quarantined("coder"), "that it is on there again")
            assert not keeper.on, "what was refused is not kept for later"
            assert (await order(raw, NODE, "policy", name="memoization", enabled=True)).state == "done"
            assert keeper.on
    assert [(on, by) for on, by, _ in switches(tmp_path)] == [
        (True, "proxy"), (False, "proxy"), (False, "operator"), (True, "operator"),
    ]  # fmt: skip


GONE = "gpu1 is gone"


@pytest.mark.parametrize(
    ("leaf", "payload", "why"),
    [("status", presence("gpu1", online=False), GONE), ("agents", b"", "the broker keeps no table of gpu1")],
)
async def test_a_daemon_that_is_gone_switches_nothing_off(
    broker: BrokerAddress, tmp_path: Path, leaf: str, payload: bytes, why: str
) -> None:
    keeper, node = proxy(broker, tmp_path)
    async with open_raw(broker) as raw:
        await raw.publish(f"{ROOT}/gpu1/agents", table("coder", off=["memoization"]), retain=True)
        await raw.publish(f"{ROOT}/gpu1/status", presence("gpu1", online=True), retain=True)
        async with node.running():
            assert not keeper.on
            for garbage in (b"", b"[]", b"\xff", b'{"online": 7}', b"[" * 100_000):
                await raw.publish(f"{ROOT}/gpu1/status", garbage)
            await raw.publish(f"{ROOT}/gpu2/status", presence("gpu2", online=False))
            await raw.publish(f"{ROOT}/gpu3/agents", table("other"))
            await until(lambda: keeper.permits.is_quarantined("other"), "all that was told")
            assert not keeper.on
            await raw.publish(f"{ROOT}/gpu1/{leaf}", payload, retain=True)
            await until(lambda: keeper.on, why)
            assert keeper.permits.is_quarantined("coder"), "a quarantine outlives its node"
            await raw.publish(f"{ROOT}/gpu1/agents", OFF)
            await until(lambda: not keeper.on, "it is there again")
    assert (True, "proxy", why) in switches(tmp_path)


async def test_who_starts_behind_a_daemon_that_is_gone_is_on(broker: BrokerAddress, tmp_path: Path) -> None:
    keeper, node = proxy(broker, tmp_path)
    async with open_raw(broker) as raw:
        await raw.publish(f"{ROOT}/gpu1/status", presence("gpu1", online=False), retain=True)
        await raw.publish(f"{ROOT}/gpu1/agents", OFF, retain=True)
        async with node.running():
            assert (node.heard, keeper.on) == (True, True)


async def test_a_daemon_that_ends_switches_nothing_off_any_more(broker: BrokerAddress, tmp_path: Path) -> None:
    config = DaemonConfig(
        node="gpu1", port=0, home=str(tmp_path), engine=EngineSpec(model=str(tmp_path / "no-model"), device="cpu"),
        broker=f"mqtt://{broker.username}:{broker.password}@{broker.host}:{broker.port}",
        policy=PolicySection(enabled=["memoization"]),
    )  # fmt: skip
    told: list[list[str]] = []
    async with open_raw(broker, f"{ROOT}/gpu1/agents") as raw:

        async def until_told(off: list[str]) -> None:
            while msgspec.json.decode((await raw.next()).payload, type=AgentsTable).off != off:
                pass
            told.append(off)

        async with open_daemon(config) as daemon:
            await until_told([])
            daemon.journal.append(PolicySwitched(t_ns=1, policy="memoization", enabled=False))
            await until_told(["memoization"])
        await until_told([])
    assert len(told) == 3
    async with open_raw(broker, f"{ROOT}/gpu1/agents") as raw:
        last = msgspec.json.decode((await raw.next()).payload, type=AgentsTable)
    assert (last.off, last.run) == ([], daemon.journal.run)


def switched(enabled: bool, policy: str = "memoization", by: str = "operator") -> PolicySwitched:
    return PolicySwitched(t_ns=1, policy=policy, enabled=enabled, by=by)


FAILED = PolicyFailed(t_ns=1, policy="memoization", call="observe", error="x")
ANEW = EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=1, page_size=1, policy="lru")


@pytest.mark.parametrize(
    ("leads", "events", "off"),
    [
        (["memoization"], [], []),
        (["memoization"], [switched(False)], ["memoization"]),
        (["memoization"], [switched(False), ANEW], ["memoization"]),
        (["memoization"], [switched(False), switched(True)], []),
        (["memoization"], [switched(False), switched(True), FAILED], []),
        (["memoization"], [FAILED], []),
        (["memoization"], [FAILED, ANEW], []),
        (["memoization"], [switched(False, by="host")], []),
        (["memoization"], [switched(False, "lru")], []),
        (["lru", "memoization"], [switched(False), switched(False, "lru")], ["lru", "memoization"]),
        (["lru"], [switched(True), switched(False)], []),
        ([], [switched(False)], []),
    ],
)
async def test_a_node_tells_which_of_those_it_was_started_with_an_order_switched_off(
    tmp_path: Path, leads: list[str], events: list[Any], off: list[str]
) -> None:
    info = RunInfo(run="r", node="gpu1", started_ns=1, version="0", model="m", config={})
    recorder = Recorder(tmp_path / "run.db", info)
    sent: list[bytes] = []
    mqtt = cast("Any", SimpleNamespace(publish=lambda _leaf, payload, **_: sent.append(payload)))
    journal, host = Journal("r", recorder), PolicyHost(leads)
    publisher = Publisher(mqtt, journal, lambda: host, recorder, leads)
    for event in events:
        journal.append(event)
    publisher.send_agents()
    assert msgspec.json.decode(sent[-1], type=AgentsTable).off == off
    publisher.lead_no_more()
    assert msgspec.json.decode(sent[-1], type=AgentsTable).off == []
    await recorder.close()
