"""The decorator: what a program's own functions say is remembered as the rules allow, in threads and in coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from brokers import until

from radixdeck.daemon.tools.memoized import ToolBox
from radixdeck.policies.doorkeeping import RulesError
from radixdeck.policies.events import ToolMemoized

RULES = """
[tools.find]
read_only = true
ttl_s = 300
[tools.store]
"""


@pytest.fixture
def box(tmp_path: Path) -> Callable[..., ToolBox]:
    def make(rules: str = RULES, **more: Any) -> ToolBox:
        path = tmp_path / "rules.toml"
        path.write_text(rules)
        options: dict[str, Any] = {"agent": "coder", "tunables": {"trials": 0}, **more}
        return ToolBox(path, **options)

    return make


def test_a_function_is_answered_until_something_changes(box: Callable[..., ToolBox]) -> None:
    tools, ran = box(), list[str]()

    @tools.memoized()
    def find(text: str, *more: str, limit: int = 3, **options: str) -> dict[str, list[str]]:
        """Finds."""
        ran.append(text)
        return {"found": [text]}

    @tools.memoized("store")
    def put(_value: str) -> None:
        ran.append("put")

    assert find.__doc__ == "Finds."
    assert [find("a"), find("a", limit=3), find(text="a")] == [{"found": ["a"]}] * 3
    assert ran == ["a"]
    find("a", "b")
    find("a", limit=4)
    find("a", colour="red")
    assert ran == ["a"] * 4
    put("x")
    find("a")
    assert ran[4:] == ["put", "a"]


def test_nobodys_change_of_a_result_is_anothers(box: Callable[..., ToolBox]) -> None:
    @box().memoized()
    def find() -> list[int]:
        return [1]

    for _ in range(3):
        found = find()
        found.append(2)
    assert find() == [1]


def test_whose_call_it_is_may_change(box: Callable[..., ToolBox]) -> None:
    who, ran = ["one"], list[str]()

    @box(agent=lambda: who[0]).memoized()
    def find() -> int:
        ran.append(who[0])
        return 1

    for who[0] in ("one", "other", "one"):
        find()
    assert ran == ["one", "other"]


@pytest.mark.parametrize(
    "value", [(1, 2), {1: 2}, object(), float("nan"), b"x"], ids=lambda value: type(value).__name__
)
def test_what_is_not_json_is_returned_as_it_is_and_never_kept(box: Callable[..., ToolBox], value: Any) -> None:
    ran = list[int]()

    @box().memoized()
    def find(_what: Any) -> Any:
        ran.append(1)
        return value

    assert [find(1) is value, find(1) is value] == [True, True]
    find(value)
    find(value)
    assert len(ran) == 4


def test_an_error_is_its_callers_and_not_kept(box: Callable[..., ToolBox]) -> None:
    ran = list[int]()

    @box().memoized()
    def find() -> int:
        ran.append(1)
        if len(ran) < 3:
            raise KeyError("no")
        return len(ran)

    for _ in range(2):
        with pytest.raises(KeyError, match="no"):
            find()
    assert [find(), find()] == [3, 3]


def test_threads_that_ask_the_same_ask_once(box: Callable[..., ToolBox]) -> None:
    facts, ran, go = list[ToolMemoized](), list[int](), threading.Event()
    tools = box(emit=facts.append)

    @tools.memoized()
    def find() -> str:
        ran.append(1)
        go.wait(10)
        return "x"

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(find) for _ in range(4)]
        while not ran:
            pass
        go.set()
        assert [one.result(10) for one in asked] == ["x"] * 4
    assert len(ran) == 1
    assert sum(fact.what in ("joined", "answered") for fact in facts) == 3


async def test_coroutines_that_ask_the_same_ask_once_and_one_may_give_up(box: Callable[..., ToolBox]) -> None:
    tools, ran, go = box(), list[int](), asyncio.Event()

    @tools.memoized()
    async def find() -> str:
        ran.append(1)
        await go.wait()
        return "x"

    first, second, third = [asyncio.create_task(find()) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await until(lambda: len(ran) == 2, "the second asks for itself")
    go.set()
    assert [await second, await third] == ["x", "x"]
    assert tools.keeper.policy.memory.under_way == {}
    assert len(ran) == 2  # the second asked for itself once the first had given up
    assert first.cancelled()


async def test_a_change_that_is_called_off_leaves_what_it_changes_unanswered(box: Callable[..., ToolBox]) -> None:
    facts, ran, begun = list[ToolMemoized](), list[int](), asyncio.Event()
    tools = box(emit=facts.append)

    @tools.memoized()
    async def find() -> int:
        ran.append(1)
        return 1

    @tools.memoized()
    async def store() -> None:
        begun.set()
        await asyncio.sleep(60)

    changing = asyncio.create_task(store())
    await begun.wait()
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)
    assert [await find(), await find()] == [1, 1]
    assert len(ran) == 2
    assert [(fact.tool, "begins anew" in fact.why) for fact in facts if fact.what == "unsettled"] == [("store", True)]
    tools.restart()
    assert [await find(), await find()] == [1, 1]
    assert len(ran) == 3


def test_bad_rules_are_refused(box: Callable[..., ToolBox]) -> None:
    with pytest.raises(RulesError, match="line 1"):
        box("tools = 1")
