"""The relay when a tool is not allowed: no call of it reaches the server, made or foreseen."""

from __future__ import annotations

import pytest

pytest.importorskip("mcp_types")

from mcp_types import JSONRPCError
from relay_ahead import Ahead
from relay_sides import Sides

from radixdeck.daemon.tools.messages import FORBIDDEN

ONLY_LIST = '[agents."t/coder"]\ntools = ["list"]\n'
"""The relay of these tests calls for agent coder of tenant t."""


async def got(s: Sides, *told: str) -> str:
    """What a call gets at once."""
    asked = await s.call(*told)
    return s.got()[asked]


async def test_a_call_that_is_not_allowed_never_reaches_the_server() -> None:
    s = Sides()
    s.keeper.permits.obey('[agents."t/coder"]\ntools = ["team"]\n')
    asked = await s.call()
    assert s.up == []
    (error,) = s.down
    assert isinstance(error, JSONRPCError)
    assert (error.id, error.error.code) == (asked, FORBIDDEN)
    assert error.error.message == "safety: agent 't/coder' may not use tool 'get'; allowed: team"
    (fact,) = s.facts
    assert (fact.what, fact.by, fact.tool, fact.agent, fact.why) == (
        "forbidden", "safety", "get", "coder", error.error.message,
    )  # fmt: skip
    assert await s.whole("team")
    assert await s.whole("get", agent="other")


async def test_what_is_in_memory_is_not_given_to_whom_it_is_forbidden_by_now() -> None:
    s = Sides()
    assert [await s.whole(), await s.whole()] == [True, False]
    s.keeper.permits.obey("[everybody]\ntools = []\n")
    assert await got(s) == "error"
    s.keeper.permits.obey("")
    assert await got(s) == "x"


async def test_a_forbidden_change_changes_nothing() -> None:
    s = Sides()
    await s.whole()
    s.keeper.permits.obey('[everybody]\ntools = ["get"]\n')
    assert await got(s, "put") == "error"
    assert not await s.whole(), "what was remembered still is"


@pytest.mark.parametrize("how", ["rules", "quarantine"])
async def test_a_call_that_is_not_allowed_is_never_made_early(how: str) -> None:
    for forbidden in (False, True):
        s = Ahead()
        await s.learns()
        await s.says(s.early()[-1], "value")
        await s.gets()
        before = len(s.early())
        asked = await s.call("list", arguments={"of": 99})
        if forbidden and how == "rules":
            s.keeper.permits.obey(ONLY_LIST)
        elif forbidden:
            s.keeper.permits.quarantined_at("gpu1", ["t/coder"])
        s.now_s += 1
        await s.says(asked, "key 99\nkey 100")
        assert len(s.early()) == before + (not forbidden)


async def test_what_was_called_early_is_not_given_either() -> None:
    s = Ahead()
    early = await s.learns()
    await s.says(early, "value")
    s.keeper.permits.quarantine("t/coder", on=True)
    asked = await s.gets()
    assert s.got()[asked] == "error"
    s.keeper.permits.quarantine("t/coder", on=False)
    asked = await s.gets()
    assert s.got()[asked] == "value"


@pytest.mark.parametrize("how", ["nothing", "rules", "quarantine"])
async def test_a_call_that_waited_for_one_that_failed_is_asked_about_again(how: str) -> None:
    s = Sides()
    first, second = await s.call(), await s.call()
    if how == "rules":
        s.keeper.permits.obey(ONLY_LIST)
    elif how == "quarantine":
        s.keeper.permits.quarantined_at("gpu1", ["t/coder"])
    await s.says(first, isError=True)
    if how == "nothing":
        assert len(s.up) == 2
        await s.says(second, "y")
        assert s.got()[second] == "y"
        return
    assert len(s.up) == 1
    refused = s.down[-1]
    assert isinstance(refused, JSONRPCError)
    assert (refused.id, refused.error.code) == (second, FORBIDDEN)
    assert s.did().count("forbidden") == 1
    s.keeper.permits.obey("")
    s.keeper.permits.quarantined_at("gpu1", [])
    assert await s.whole(), "nobody waits for it any more"


async def test_it_holds_while_memory_is_off() -> None:
    s = Sides()
    s.keeper.on = False
    s.keeper.permits.obey(ONLY_LIST)
    assert await got(s) == "error"


async def test_what_is_tried_in_vain_teaches_nothing() -> None:
    s = Ahead()
    s.keeper.permits.obey(ONLY_LIST)
    for _ in range(12):
        await s.lists_up()
        await s.gets()
    assert s.early() == []
    s.keeper.permits.obey("")
    await s.lists_up()
    assert s.early() == []
