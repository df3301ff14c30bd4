"""A process that calls tools, as others see it on a real broker: its facts, its recording, and orders to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from brokers import Raw, open_raw, until
from tool_nodes import RULES, order, table

from radixdeck.daemon.paths import home_of
from radixdeck.daemon.tools.keeper import Keeper
from radixdeck.daemon.tools.node import Node
from radixdeck.daemon.tools.report import Report
from radixdeck.daemon.wire import ROOT, BrokerAddress, EventBatch, Status
from radixdeck.policies.events import ActionTaken, CommandReceived, PolicySwitched, ToolMemoized, decode
from radixdeck.policies.tools.calls import Asked, ToolCall
from radixdeck.storage.session import open_session

GARBAGE = (
    b"", b"[]", b"\xff", b"{}", b'{"v": 2, "error": "x"}', b'{"agents": 7}', b'{"agents": [{"agent": 7}]}',
)  # fmt: skip
NODE = "mcp-coder"
HERE = f"{ROOT}/{NODE}"


async def test_it_is_a_node_like_any_other(broker: BrokerAddress, tmp_path: Path) -> None:
    report = Report(lambda words: None)
    keeper = Keeper(RULES, report.tell, {"trials": 0})
    node = Node(NODE, broker, home_of(str(tmp_path)), keeper, report)
    async with open_raw(broker, f"{HERE}/events") as events:
        async with node.running(), open_raw(broker, f"{HERE}/status") as status:
            while not (told := msgspec.json.decode((await status.next()).payload, type=Status)).run:
                pass
            assert (told.online, told.detail) == (True, "MCP proxy, no engine")
            async with open_raw(broker, f"{HERE}/reply/me") as raw:
                call = ToolCall(tool="get", agent="coder")
                for _ in range(2):
                    asked = keeper.ask(call)
                    if asked.ticket is not None:
                        keeper.goes(call, asked)
                        keeper.answered(call, asked.ticket, b"1")
                tuned = await order(raw, NODE, "tune", policy="memoization", name="trials", value=5)
                assert (tuned.state, keeper.policy.tunables["trials"]) == ("done", 5)
                too_low = await order(raw, NODE, "tune", policy="memoization", name="trials", value=-5)
                assert too_low.state == "refused"
                off = await order(raw, NODE, "policy", name="memoization", enabled=False)
                assert (off.state, keeper.on) == ("done", False)
                beyond = {"policy": "memoization", "name": "trials", "value": 10**400}
                for name, told_too in (("flush", {}), ("tune", {}), ("tune", beyond), ("policy", {"name": "lru"})):
                    assert (await order(raw, NODE, name, **told_too)).state == "refused"
        seen = [event async for event in all_until_off(events)]
    assert [event.what for event in seen if isinstance(event, ToolMemoized)] == ["asked", "stored", "answered"]
    (recording,) = (tmp_path / "runs").glob("*.db")
    with open_session(recording) as session:
        kept = [event for _, event in session.events(0, 100)]
    assert [type(event) for event in kept[: len(seen)]] == [type(event) for event in seen]
    orders = [event.arguments for event in kept if isinstance(event, CommandReceived)]
    assert (len(orders), orders[-2]["value"]) == (7, f"1{31 * '0'}...")


async def all_until_off(raw: Raw) -> Any:
    """The node's events in order, up to its being switched off."""
    while True:
        for event in msgspec.json.decode((await raw.next()).payload, type=EventBatch).events:
            known = decode(event)
            yield known
            if isinstance(known, PolicySwitched) and not known.enabled:
                return


async def test_what_a_proxy_says_at_the_end() -> None:
    said: list[str] = []
    report = Report(said.append)
    for what in ("asked", "stored", "answered", "joined", "off", "unsettled"):
        report.tell(ToolMemoized(t_ns=1, tool="get", what=what, why="so", saved_s=0.25 * (what == "answered")))
    assert said == ["tool get off: so", "tool get unsettled: so"]
    assert report.summary() == (
        "2 of 3 tool calls answered from memory, 0.2 s of tools saved; 1 results kept, 0 times something changed, "
        "1 tools off"
    )


async def test_who_is_quarantined_anywhere_calls_no_tool_here(broker: BrokerAddress, tmp_path: Path) -> None:
    report = Report(lambda words: None)
    keeper = Keeper(RULES, report.tell)
    keeper.permits.obey("")
    node = Node(NODE, broker, home_of(str(tmp_path)), keeper, report)
    coder, other = (ToolCall(tool="get", agent=agent) for agent in ("coder", "other"))

    async def said(call: ToolCall, why: str) -> None:
        await until(lambda: keeper.permits.why_not(call) == why, f"of {call.agent}: {why!r}")

    async with open_raw(broker, f"{HERE}/reply/me") as raw:
        await raw.publish(f"{ROOT}/gpu1/agents", table("coder"), retain=True)
        async with node.running():
            await said(coder, "agent 'coder' is quarantined by the operator")
            for garbage in GARBAGE:
                await raw.publish(f"{ROOT}/gpu1/agents", garbage)
            await raw.publish(f"{ROOT}/gpu2/agents", table("other"))
            await said(other, "agent 'other' is quarantined by the operator")
            assert keeper.permits.why_not(coder) != "", "what is no table says nothing"
            assert "at another node" in (await order(raw, NODE, "release", agent="coder")).detail
            await raw.publish(f"{ROOT}/gpu1/agents", table(), retain=True)
            await said(coder, "")
            assert (await order(raw, NODE, "quarantine", agent="coder")).state == "done"
            assert keeper.came(coder) == "agent 'coder' is quarantined by the operator"
            assert (await order(raw, NODE, "release", agent="coder")).state == "done"
            assert keeper.came(coder) == ""
            assert (await order(raw, NODE, "quarantine")).state == "refused"
            for name, nobody in (("quarantine", "codr"), ("release", "codr"), ("quarantine", "")):
                refused = await order(raw, NODE, name, agent=nobody)
                assert (refused.state, repr(nobody) in refused.detail) == ("refused", True)
            keeper.goes(ToolCall(tool="get", agent="new", tenant="acme"), Asked(ticket=None, why=""))
            assert (await order(raw, NODE, "quarantine", agent="acme/new")).state == "done"
    (recording,) = (tmp_path / "runs").glob("*.db")
    with open_session(recording) as session:
        kept = [event for _, event in session.events(0, 100)]
    assert [event.kind for event in kept if isinstance(event, ActionTaken)] == [
        "release", "quarantine", "release", "quarantine",
    ]  # fmt: skip
    assert [event.policy for event in kept if isinstance(event, PolicySwitched)] == ["memoization", "safety"]
    assert [event.by for event in kept if isinstance(event, ToolMemoized)] == ["safety", "memoization"]
