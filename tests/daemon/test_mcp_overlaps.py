"""The relay when calls of the same overlap, ids are used twice, or something unknown may change what tools read."""

from __future__ import annotations

import pytest

pytest.importorskip("mcp_types")

from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest
from relay_sides import Sides

from radixdeck.policies.events import PolicySwitched


async def test_a_call_that_everybody_called_off_is_called_off_at_the_server() -> None:
    s = Sides()
    first, second, third = [await s.call() for _ in range(3)]
    for called_off in (first, second):
        await s.tells("notifications/cancelled", to_server=True, requestId=called_off)
    assert len(s.up) == 1
    await s.tells("notifications/cancelled", to_server=True, requestId=third, reason="late")
    told = s.up[-1]
    assert isinstance(told, JSONRPCNotification)
    assert told.params == {"requestId": first, "reason": "late"}
    assert s.under_way() == {}
    assert await s.whole()


async def test_one_that_is_called_off_while_the_others_are_told_is_not_asked_any_more() -> None:
    s = Sides()
    first, second, third = [await s.call() for _ in range(3)]
    s.while_asking = lambda: s.tells("notifications/cancelled", to_server=True, requestId=third)
    await s.says(first, isError=True)
    await s.says(second)
    assert s.got() == {first: "x", second: "x"}
    assert [message.id for message in s.up if isinstance(message, JSONRPCRequest)] == [first, second]


@pytest.mark.parametrize("on", [True, False])
async def test_whoever_has_an_answer_is_not_under_way(on: bool) -> None:
    s = Sides()
    if not on:
        s.keeper.heed(PolicySwitched(t_ns=1, policy="memoization", enabled=False))
    asked = [await s.call() for _ in range(5)]
    assert len(s.under_way()) == (1 if on else 5)
    for request_id in asked[: 1 if on else 5]:
        await s.says(request_id)
    assert s.got() == dict.fromkeys(asked, "x")
    assert s.under_way() == {}


async def test_an_id_that_is_used_twice_is_refused_while_it_is_open() -> None:
    s = Sides()
    first, second = await s.call(), await s.call()
    for used in (first, second):
        for method in ("tools/call", "tools/list"):
            await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id=used, method=method, params={"name": "put"}))
            refused = s.down.pop()
            assert isinstance(refused, JSONRPCError)
            assert refused.id == used
            assert "in use" in refused.error.message
    assert len(s.up) == 1
    await s.says(first)
    assert s.got() == {first: "x", second: "x"}
    s.number = 0
    assert await s.whole("put"), "it is over, so its id is free"


async def test_a_method_nobody_knows_may_change_things_until_it_is_answered() -> None:
    s = Sides()
    await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id="m", method="x/change", params={}))
    assert [await s.whole(text="old") for _ in range(2)] == [True, True]
    early = await s.call()
    await s.says("m", "done")
    await s.says(early, "old")
    assert await s.whole(text="new")
    assert not await s.whole()
    assert s.got()[s.number] == "new"


async def test_a_method_nobody_knows_that_is_called_off_leaves_everything_unanswered() -> None:
    s = Sides()
    await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id="m", method="x/change", params={}))
    await s.tells("notifications/cancelled", to_server=True, requestId="m")
    assert "x/change" in s.facts[-1].why
    assert [await s.whole() for _ in range(2)] == [True, True]
    await s.relay.server_gone("gone")
    assert [await s.whole() for _ in range(2)] == [True, False]
