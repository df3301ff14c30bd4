"""Quarantines of a process that calls tools, over real brokers, when it starts and when it ends: none is overheard,
none is lost, and none outlives those who could lift it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiomqtt
import msgspec
import pytest
import typer
from brokers import Relay, open_raw, until
from tool_nodes import RULES, order, table

from radixdeck.console import cli_tools
from radixdeck.daemon import publishing
from radixdeck.daemon.paths import home_of
from radixdeck.daemon.tools.keeper import Keeper
from radixdeck.daemon.tools.node import Node
from radixdeck.daemon.tools.report import Report
from radixdeck.daemon.wire import ROOT, AgentsTable, BrokerAddress
from radixdeck.policies.tools.calls import ToolCall

CODER = ToolCall(tool="get", agent="coder")
NOWHERE = BrokerAddress(host="127.0.0.1", port=1)
SERVES = """
import asyncio, sys
from pathlib import Path
from radixdeck.daemon.paths import home_of
from radixdeck.daemon.tools.proxy import serve
from radixdeck.daemon.tools.upstream import Upstream
from radixdeck.daemon.wire import BrokerAddress

async def broker():
    return BrokerAddress(host="127.0.0.1", port=1)

upstream = Upstream(command=(sys.executable, "-c", "import sys; sys.stdin.read()"), url="", headers={})
say = lambda words: print(words, file=sys.stderr)
asyncio.run(
    serve(upstream, Path(sys.argv[1]), node="mcp-coder", broker=broker, paths=home_of(sys.argv[2]), say=say)
)
"""


class Proxy:
    """What of a proxy is a node. `returns`: its name was given to it."""

    def __init__(self, name: str, broker: BrokerAddress, folder: Path, *, returns: bool = False) -> None:
        report = Report(lambda words: None)
        keeper = Keeper(RULES, report.tell)
        self.permits = keeper.permits
        self.node = Node(name, broker, home_of(str(folder)), keeper, report, agent="coder", returns=returns)

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[Proxy]:
        async with self.node.running():
            yield self

    @property
    def forbids(self) -> bool:
        return self.permits.why_not(CODER) != ""


async def kept(broker: BrokerAddress) -> dict[str, bytes]:
    """The tables of agents that the broker keeps."""
    found: dict[str, bytes] = {}
    async with open_raw(broker, f"{ROOT}/+/agents", f"{ROOT}/end/agents") as raw:
        await raw.publish(f"{ROOT}/end/agents", b"")
        while (message := await raw.next()).payload:
            assert isinstance(message.payload, bytes)
            found[str(message.topic).split("/")[2]] = message.payload
    return found


async def test_nothing_is_let_through_before_the_broker_was_heard(broker: BrokerAddress, tmp_path: Path) -> None:
    async with open_raw(broker) as raw:
        for number in range(20):
            await raw.publish(f"{ROOT}/gpu{number}/agents", table(), retain=True)
        await raw.publish(f"{ROOT}/gpu-gone/agents", table("coder"), retain=True)
    async with Proxy("mcp-1", broker, tmp_path)() as proxy:
        assert proxy.node.heard
        assert proxy.forbids


async def test_without_a_broker_that_answers_it_goes_on_and_knows_it(tmp_path: Path) -> None:
    async with asyncio.timeout(20), Proxy("mcp-1", NOWHERE, tmp_path)() as proxy:
        assert not proxy.node.heard
        assert not proxy.forbids


async def test_and_the_proxy_says_so(tmp_path: Path) -> None:
    pytest.importorskip("mcp")
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVES, str(rules), str(tmp_path), stdin=PIPE, stdout=DEVNULL, stderr=PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(b""), 60)
    assert process.returncode == 0
    assert "the broker does not answer: who is quarantined there is not known" in said.decode()


async def test_what_a_proxy_was_told_ends_with_a_name_that_nobody_has_again(
    broker: BrokerAddress, tmp_path: Path
) -> None:
    async with Proxy("mcp-other", broker, tmp_path)() as other, open_raw(broker, f"{ROOT}/mcp-1/reply/me") as raw:
        async with Proxy("mcp-1", broker, tmp_path)() as proxy:
            assert (await order(raw, "mcp-1", "quarantine", agent="coder")).state == "done"
            assert proxy.forbids
            await until(lambda: other.forbids, "the other proxy hears of it")
            assert "mcp-1" in await kept(broker)
        await until(lambda: not other.forbids, "the other proxy lifts it")
        assert "mcp-1" not in await kept(broker)


@pytest.mark.parametrize("returns", [False, True])
async def test_the_broker_keeps_nothing_of_a_name_that_nobody_has_again(
    broker: BrokerAddress, tmp_path: Path, returns: bool
) -> None:
    """Those who listen hear that it stopped, then that the status is cleared, last of all, and each of it once."""
    heard: list[tuple[str, Any]] = []
    async with open_raw(broker, f"{ROOT}/mcp-1/+") as raw:
        async with Proxy("mcp-1", broker, tmp_path, returns=returns)():
            while not str((await raw.next()).topic).endswith("/policies"):
                pass
        await raw.publish(f"{ROOT}/mcp-1/end", b"end")
        while (message := await raw.next()).payload != b"end":
            heard.append((str(message.topic).rpartition("/")[2], message.payload))
    (stopped,) = [place for place, (_, payload) in enumerate(heard) if b'"stopped"' in payload]
    assert (heard[-1] == ("status", b"")) is not returns
    assert {leaf for leaf, _ in heard[stopped + 1 :]} == (set() if returns else {"policies", "status"})
    cleared = sorted(leaf for leaf, payload in heard if not payload)
    assert cleared == (["agents"] if returns else ["agents", "policies", "status"])
    async with open_raw(broker, f"{ROOT}/mcp-1/+") as raw:
        await raw.publish(f"{ROOT}/mcp-1/end", b"end")
        first = await raw.next()
    assert (first.payload == b"end") is not returns


@pytest.mark.parametrize("ended", ["in order", "killed"])
async def test_of_a_name_that_is_there_again_it_holds_until_it_is_lifted(
    broker: BrokerAddress, tmp_path: Path, ended: str
) -> None:
    async with open_raw(broker, f"{ROOT}/mcp-1/reply/me") as raw:
        if ended == "killed":
            await raw.publish(f"{ROOT}/mcp-1/agents", table("coder"), retain=True)
        else:
            async with Proxy("mcp-1", broker, tmp_path, returns=True)():
                await order(raw, "mcp-1", "quarantine", agent="coder")
        watched = open_raw(broker, f"{ROOT}/mcp-1/agents")
        async with watched as watching, Proxy("mcp-1", broker, tmp_path, returns=True)() as proxy:
            assert proxy.forbids
            for _ in range(4):
                message = await watching.next()
                assert not message.payload or is_quarantined(message), "others are not told that it is lifted"
            assert (await order(raw, "mcp-1", "release", agent="coder")).detail == "done"
            assert not proxy.forbids
        assert await kept(broker) == {}, "nobody is quarantined there: nothing is left"
        async with Proxy("mcp-1", broker, tmp_path, returns=True)() as proxy:
            assert not proxy.forbids


async def test_what_the_broker_kept_is_not_overwritten_unread_however_late_it_comes(
    broker: BrokerAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "TABLE_PERIOD_S", 0.05)
    async with Relay(broker) as relay, open_raw(broker, f"{ROOT}/mcp-1/agents") as raw:
        await raw.publish(f"{ROOT}/mcp-1/agents", table("coder"), retain=True)
        relay.cut()
        async with Proxy("mcp-1", relay.address, tmp_path, returns=True)() as proxy:
            assert not proxy.node.heard
            await asyncio.sleep(0.2)  # its own table waits for the broker by now
            await relay.mend()
            for _ in range(4):
                message = await raw.next()
                assert not message.payload or is_quarantined(message)
            assert proxy.forbids


@pytest.mark.parametrize("node", ["", "mcp-1"])
def test_only_a_name_that_was_given_is_there_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, node: str) -> None:
    proxy = pytest.importorskip("radixdeck.daemon.tools.proxy")
    served: list[dict[str, Any]] = []

    async def serve(*_: Any, **how: Any) -> int:
        served.append(how)
        return 0

    monkeypatch.setattr(proxy, "serve", serve)
    context = cast("typer.Context", SimpleNamespace(obj=["server"]))
    with pytest.raises(typer.Exit):
        cli_tools.mcp_proxy(context, tmp_path / "rules.toml", agent="coder", node=node, home=str(tmp_path))
    (how,) = served
    assert how["returns"] == (how["node"] == "mcp-1") == bool(node)


def is_quarantined(message: aiomqtt.Message) -> bool:
    assert isinstance(message.payload, bytes)
    rows = msgspec.json.decode(message.payload, type=AgentsTable).agents
    return "coder" in [row.agent for row in rows if row.quarantined]
