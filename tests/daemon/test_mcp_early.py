"""The relay when calls are made early: what neither side may see, and what comes between."""

from __future__ import annotations

import pytest

pytest.importorskip("mcp_types")

from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest
from relay_ahead import Ahead


async def test_an_early_call_is_a_call_like_any_other_to_the_server_and_nothing_to_the_client() -> None:
    s = Ahead()
    early = await s.learns()
    (request,) = [one for one in s.up if isinstance(one, JSONRPCRequest) and one.id == early]
    assert request.params == {"name": "get", "arguments": {"key": "key 7"}}
    before = len(s.down)
    s.now_s += 0.5
    await s.says(early, "value 7")
    assert len(s.down) == before
    asked = await s.gets()
    assert s.got()[asked] == "value 7"
    assert asked not in s.asked()
    assert s.last() == ["early", "early_used"]
    assert s.facts[-1].saved_s == 0.5
    (why,) = [fact.why for fact in s.facts if fact.what == "early"][-1:]
    assert why.startswith("get follows list in 5 of 5, 4 as guessed")
    assert why.endswith("key = result[0]")


async def test_a_call_that_comes_while_it_is_on_its_way_joins_it() -> None:
    s = Ahead()
    early = await s.learns()
    s.now_s += 0.25
    first, second = await s.gets(), await s.gets()
    assert not {first, second} & set(s.asked())
    await s.says(early, "value 7")
    assert [s.got()[one] for one in (first, second)] == ["value 7"] * 2
    assert s.last() == ["early_used", "joined"]
    assert [fact.saved_s for fact in s.facts if fact.what == "early_used"][-1] == 0.25
    assert s.under_way() == {}


@pytest.mark.parametrize("how", ["error", "no result", "asks"])
async def test_one_that_fails_is_nobodys_and_the_real_call_is_made(how: str) -> None:
    for waits in (True, False):
        s = Ahead()
        early = await s.learns()
        waiting = await s.gets() if waits else 0
        before = len(s.down)
        if how == "error":
            await s.relay.from_server(
                JSONRPCError.model_validate({"jsonrpc": "2.0", "id": early, "error": {"code": 1, "message": "no"}})
            )
        else:
            more = {"isError": True} if how == "no result" else {"resultType": "input_required"}
            await s.says(early, "secret", **more)
        assert len(s.down) == before
        waiting = waiting if waits else await s.gets()
        assert s.asked()[-1] == waiting
        await s.says(waiting, "value 7")
        assert s.got()[waiting] == "value 7"
        assert "early_wasted" in s.did()
        assert s.under_way() == {}


async def test_a_real_call_goes_first_at_a_server_that_does_one_thing_at_a_time() -> None:
    s = Ahead()
    early = await s.learns()
    asked = await s.gets("another")
    told = s.up[-2]
    assert isinstance(told, JSONRPCNotification)
    assert told.method == "notifications/cancelled"
    assert told.params is not None
    assert told.params["requestId"] == early
    assert s.asked()[-1] == asked
    assert s.did()[-1] == "early_wasted"
    await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id=early, method="ping"))
    assert isinstance(s.down[-1], JSONRPCError), "its id is not free yet"
    await s.says(early, "too late")
    assert "too late" not in s.got().values()
    assert list(s.under_way()) == [max(s.under_way())]


async def test_but_not_before_one_that_somebody_waits_for() -> None:
    s = Ahead()
    early = await s.learns()
    waiting, other = await s.gets(), await s.gets("another")
    assert not any(isinstance(message, JSONRPCNotification) for message in s.up)
    await s.says(other, "x")
    await s.says(early, "value 7")
    assert s.got()[waiting] == "value 7"


async def test_at_another_server_both_go_on() -> None:
    s = Ahead(serial=False)
    early = await s.learns()
    await s.says(await s.gets("another"), "x")
    await s.says(early, "value 7")
    asked = await s.gets()
    assert s.got()[asked] == "value 7"


async def test_nothing_is_made_early_while_somebody_waits_for_a_server_that_does_one_thing_at_a_time() -> None:
    for serial in (True, False):
        s = Ahead(serial=serial)
        await s.says(await s.learns(), "value 7")
        waiting = await s.call("list", "other", arguments={"of": "x"})
        before = len(s.early())
        await s.gets()
        await s.lists_up()
        assert (len(s.early()) == before) == serial
        await s.says(waiting, "key")
        assert len(s.early()) == before + 1


async def test_one_that_waits_and_is_called_off_leaves_nothing() -> None:
    s = Ahead()
    early = await s.learns()
    waiting = await s.gets()
    await s.tells("notifications/cancelled", to_server=True, requestId=waiting)
    told = s.up[-1]
    assert isinstance(told, JSONRPCNotification)
    assert told.params == {"requestId": early}
    assert s.did()[-1] == "early_wasted"
    assert s.under_way() == {}
    assert await s.gets() in s.asked()


async def test_a_change_meanwhile_makes_the_result_worth_nothing() -> None:
    s = Ahead(serial=False)
    early = await s.learns()
    changing = await s.call("put")
    await s.says(early, "old")
    await s.says(changing, "stored")
    asked = await s.gets()
    assert asked in s.asked()
    await s.says(asked, "new")
    assert s.got()[asked] == "new"
    assert "early_wasted" in s.did()


async def test_a_result_is_used_only_for_ttl_s() -> None:
    s = Ahead()
    await s.says(await s.learns(), "value 7")
    s.now_s += 10
    assert await s.gets() in s.asked()
    await s.says(s.number, "value 8")
    await s.lists_up()
    assert "early_wasted" in s.did()
