"""The relay between two sides that the test plays: who gets which answer when calls overlap, are called off or fail."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("mcp_types")

from mcp_types import ErrorData, JSONRPCError, JSONRPCRequest, JSONRPCResponse
from relay_sides import Sides

from radixdeck.policies.events import PolicySwitched, TunableChanged


async def test_a_repeat_is_answered_and_a_change_ends_that() -> None:
    s = Sides()
    assert [await s.whole(), await s.whole(), await s.whole("put"), await s.whole(), await s.whole()] == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert s.did() == [
        "asked", "stored", "answered", "invalidated", "asked", "asked", "stored", "answered",
    ]  # fmt: skip
    s.now_s = 10.0
    assert await s.whole()


async def test_agents_share_only_what_the_rules_share() -> None:
    s = Sides()
    assert [await s.whole(tool, agent=agent) for agent in ("a", "b", "a") for tool in ("get", "team")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


async def test_what_is_sent_along_belongs_to_the_call() -> None:
    s = Sides()
    assert [await s.whole(_meta={"user": user}) for user in ("a", "b", "a")] == [True, True, False]
    assert [await s.whole(requestState=state) for state in ("1", "2")] == [True, True]


async def test_calls_of_the_same_at_a_time_are_one() -> None:
    s = Sides()
    first, second, third = [await s.call() for _ in range(3)]
    assert len(s.up) == 1
    await s.says(first)
    assert s.got() == {first: "x", second: "x", third: "x"}
    assert s.did() == ["asked", "stored", "joined", "joined"]


async def test_until_a_tool_is_proven_each_call_is_its_own() -> None:
    s = Sides(trials=1)
    one, other = await s.call(), await s.call()
    assert len(s.up) == 2
    await s.says(one, "1")
    await s.says(other, "2")
    assert s.got() == {one: "1", other: "2"}
    assert s.did()[-1] == "off"


async def test_an_error_is_nobodys_but_its_callers() -> None:
    s = Sides()
    first, second = await s.call(), await s.call()
    error = ErrorData(code=-1, message="no")
    await s.relay.from_server(JSONRPCError(jsonrpc="2.0", id=first, error=error))
    assert s.got() == {first: "error"}
    await s.says(second)
    assert s.got() == {first: "error", second: "x"}


@pytest.mark.parametrize(
    "more", [{"isError": True}, {"resultType": "input_required"}, {"content": None}, {"n": float("nan")}]
)
async def test_what_is_not_plain_is_not_kept(more: dict[str, Any]) -> None:
    s = Sides()
    await s.says(await s.call(), **more)
    assert s.did()[-1] == "refused"
    assert await s.whole()


async def test_what_the_client_was_asked_for_is_not_kept() -> None:
    s = Sides()
    request_id = await s.call()
    await s.relay.from_server(JSONRPCRequest(jsonrpc="2.0", id=1, method="elicitation/create", params={}))
    await s.says(request_id)
    assert await s.whole()


async def test_one_that_is_called_off_does_not_take_the_others_along() -> None:
    s = Sides()
    first, second, third = [await s.call() for _ in range(3)]
    for called_off in (second, first):
        await s.tells("notifications/cancelled", to_server=True, requestId=called_off)
    assert len(s.up) == 1
    await s.says(first)
    assert s.got() == {third: "x"}


async def test_one_that_nobody_waits_for_is_called_off_at_the_server() -> None:
    s = Sides()
    first = await s.call()
    await s.tells("notifications/cancelled", to_server=True, requestId=first)
    assert [type(message).__name__ for message in s.up] == ["JSONRPCRequest", "JSONRPCNotification"]
    second = await s.call()
    await s.says(second)
    assert s.got() == {second: "x"}


@pytest.mark.parametrize("wanted", [None, [], {}, 99, "x"])
async def test_calling_off_what_is_not_there_passes(wanted: Any) -> None:
    s = Sides()
    await s.tells("notifications/cancelled", to_server=True, requestId=wanted)
    assert len(s.up) == 1


async def test_a_change_that_is_called_off_or_goes_on_leaves_what_it_changes_unanswered() -> None:
    for task in (False, True):
        s = Sides()
        await s.whole()
        more: dict[str, Any] = {"task": {"ttl": 1}} if task else {}
        changing = await s.call("put", **more)
        if task:
            await s.says(changing)
        else:
            await s.tells("notifications/cancelled", to_server=True, requestId=changing)
        assert [await s.whole() for _ in range(3)] == [True] * 3
        assert any("called off" in fact.why for fact in s.facts)
        assert [fact.tool for fact in s.facts if fact.what == "unsettled"] == ["put"]


@pytest.mark.parametrize(
    ("method", "to_server"),
    [
        ("notifications/resources/updated", False), ("notifications/tools/list_changed", False),
        ("notifications/roots/list_changed", True), ("x/anything", True),
    ],
)  # fmt: skip
async def test_news_of_a_change_takes_everything(method: str, to_server: bool) -> None:
    s = Sides()
    await s.whole()
    await s.tells(method, to_server=to_server)
    assert await s.whole()


async def test_what_has_nothing_to_do_with_tools_passes_and_changes_nothing() -> None:
    s = Sides()
    await s.whole()
    asked = JSONRPCRequest(jsonrpc="2.0", id="r", method="resources/read", params={"uri": "x"})
    await s.relay.from_client(asked)
    await s.tells("notifications/progress", progressToken=1)
    assert s.up[-1] is asked
    assert not await s.whole()


@pytest.mark.parametrize(
    "params", [None, {}, {"name": 3}, {"name": "get", "arguments": [1]}, {"name": "get", "_meta": 3}]
)
async def test_odd_calls_reach_the_server_as_they_are(params: Any) -> None:
    s = Sides()
    request = JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params=params)
    await s.relay.from_client(request)
    assert s.up == [request]


@pytest.mark.parametrize(
    "result", [{}, {"tools": 3}, {"tools": [3, {}, {"name": 1}, {"name": "get", "annotations": 3}]}]
)
async def test_an_odd_list_of_tools_passes(result: dict[str, Any]) -> None:
    s = Sides()
    await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/list"))
    await s.relay.from_server(JSONRPCResponse(jsonrpc="2.0", id=1, result=result))
    assert s.down[-1] == JSONRPCResponse(jsonrpc="2.0", id=1, result=result)
    assert s.facts == []


async def test_a_hint_proposes_once_and_never_declares() -> None:
    s = Sides()
    for number in (101, 102):
        await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id=number, method="tools/list"))
        tools = [{"name": "find", "annotations": {"readOnlyHint": True}}]
        await s.relay.from_server(JSONRPCResponse(jsonrpc="2.0", id=number, result={"tools": tools}))
    assert s.did() == ["proposed"]
    assert [await s.whole("find") for _ in range(3)] == [True] * 3


async def test_a_server_that_is_gone_is_told_to_all_who_wait() -> None:
    s = Sides()
    first, second = await s.call(), await s.call()
    await s.relay.server_gone("gone")
    assert s.got() == {first: "error", second: "error"}


async def test_it_can_be_switched_off_and_tuned_live() -> None:
    s = Sides()
    await s.whole()
    s.keeper.heed(PolicySwitched(t_ns=1, policy="memoization", enabled=False))
    assert [await s.whole() for _ in range(3)] == [True] * 3
    s.keeper.heed(PolicySwitched(t_ns=1, policy="memoization", enabled=True))
    assert [await s.whole() for _ in range(2)] == [True, False]
    s.keeper.heed(TunableChanged(t_ns=1, policy="memoization", name="max_entries", value=0))
    assert [await s.whole("team") for _ in range(2)] == [True, True]
    s.keeper.heed(TunableChanged(t_ns=1, policy="memoization", name="no such", value=0))
    s.keeper.heed(TunableChanged(t_ns=1, policy="safety", name="x", value=0))
