"""The relay when calls are made early: what the server asks meanwhile, ids, ends, and tools that are not proven."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("mcp_types")

from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest
from relay_ahead import RULES, Ahead

from radixdeck.daemon.tools.keeper import Keeper
from radixdeck.policies.events import PolicySwitched
from radixdeck.policies.tools.calls import ToolCall

BARE = RULES.replace("speculate = true", "")


async def test_what_the_server_asks_for_a_call_that_nobody_made_reaches_nobody() -> None:
    s = Ahead()
    early = await s.learns()
    before = len(s.down)
    asks = JSONRPCRequest(jsonrpc="2.0", id="q", method="elicitation/create", params={"message": "sure?"})
    await s.relay.from_server(asks)
    assert len(s.down) == before
    refused = s.up[-1]
    assert isinstance(refused, JSONRPCError)
    assert refused.id == "q"
    await s.says(early, "value 7")
    asked = await s.gets()
    assert asked in s.asked(), "what it says may be an answer to that"
    await s.says(asked, "value 7")
    before = len(s.early())
    await s.lists_up()
    assert len(s.early()) == before, "such a tool is not called early any more"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("roots/list", None),
        ("ping", {}),
        ("elicitation/create", {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}}),
    ],
)
async def test_what_the_server_asks_for_no_call_passes_and_is_no_fault_of_the_tool(
    method: str, params: dict[str, Any] | None
) -> None:
    s = Ahead()
    early = await s.learns()
    await s.relay.from_server(JSONRPCRequest(jsonrpc="2.0", id="q", method=method, params=params))
    asks = s.down[-1]
    assert isinstance(asks, JSONRPCRequest)
    assert asks.id == "q"
    await s.says(early, "value 7")
    assert await s.gets() not in s.asked()
    before = len(s.early())
    await s.lists_up()
    assert len(s.early()) == before + 1


async def test_what_asks_for_another_call_is_still_called_early() -> None:
    s = Ahead(serial=False)
    await s.says(await s.learns(), "value 7")
    asking, other = await s.call("put"), await s.gets("another")
    await s.relay.from_server(JSONRPCRequest(jsonrpc="2.0", id="q", method="elicitation/create", params={}))
    assert isinstance(s.down[-1], JSONRPCRequest)
    await s.says(asking)
    await s.says(other)
    before = len(s.early())
    await s.lists_up()
    assert len(s.early()) == before + 1


async def test_an_id_that_the_client_uses_is_not_used_for_an_early_call() -> None:
    s = Ahead(serial=False)
    await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id="radixdeck-early-1", method="tools/list"))
    await s.lists_up()
    for _ in range(8):
        got = await s.gets()
        s.now_s += 1
        await s.says(got, "value")
        await s.lists_up()
        if len(s.early()) > 1:
            break
    assert s.early() == ["radixdeck-early-1", "radixdeck-early-2"]


async def test_if_somebody_waits_for_it_they_are_asked() -> None:
    s = Ahead()
    await s.learns()
    await s.gets()
    await s.relay.from_server(JSONRPCRequest(jsonrpc="2.0", id="q", method="elicitation/create", params={}))
    assert isinstance(s.down[-1], JSONRPCRequest)


async def test_a_server_that_ends_is_told_to_those_who_made_calls_only() -> None:
    s = Ahead()
    early = await s.learns()
    waiting = await s.gets()
    await s.relay.server_gone("gone")
    told = [message.id for message in s.down if isinstance(message, JSONRPCError)]
    assert told == [waiting]
    assert early not in s.got()
    assert s.under_way() == {}


async def test_off_is_off() -> None:
    s = Ahead()
    early = await s.learns()
    s.keeper.heed(PolicySwitched(t_ns=1, policy="memoization", enabled=False))
    await s.says(early, "value 7")
    assert await s.gets() in s.asked()
    await s.says(s.number, "x")
    await s.lists_up()
    assert s.early()[-1] == early


def test_what_calls_say_is_read_only_where_something_may_be_learned() -> None:
    read = list[str]()
    for name, rules, on in (("learns", RULES, True), ("off", RULES, False), ("bare", BARE, True)):
        keeper = Keeper(rules.format(serial="true"))
        keeper.heed(PolicySwitched(t_ns=1, policy="memoization", enabled=on))
        keeper.over(ToolCall(tool="list", arguments={}), lambda name=name: read.append(name))
    assert read == ["learns"]


async def test_a_method_nobody_knows_may_change_what_would_be_read() -> None:
    s = Ahead(serial=False)
    await s.says(await s.learns(), "value 7")
    await s.gets()
    await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id="m", method="x/change", params={}))
    before = len(s.early())
    await s.lists_up()
    assert len(s.early()) == before


async def test_before_a_tool_has_agreed_with_itself_a_call_goes_to_it_as_well() -> None:
    s = Ahead(trials=100)
    await s.says(await s.learns(), "value 7")
    asked = await s.gets()
    assert asked in s.asked()
    await s.says(asked, "another")
    assert s.got()[asked] == "another"
    assert s.did()[-2:] == ["early_checked", "off"]
    before = len(s.early())
    await s.lists_up()
    assert len(s.early()) == before


async def test_and_two_that_overlap_agree_as_well() -> None:
    s = Ahead(trials=1)
    for _ in range(8):
        await s.lists_up()
        if s.early():
            break
        got = await s.gets()
        s.now_s += 1
        await s.says(got, "value")
    (early,) = s.early()
    asked = await s.gets()
    assert not any(isinstance(message, JSONRPCNotification) for message in s.up)
    await s.says(early, "value")
    await s.says(asked, "value")
    assert s.did()[-1] == "confirmed"
    await s.lists_up()
    await s.says(s.early()[-1], "value")
    assert await s.gets() not in s.asked()
