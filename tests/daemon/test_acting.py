"""When policies are asked: soon after a request, at growing intervals after that, never while one is on its way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from background import beside
from brokers import until

from radixdeck.daemon.acting import PERIOD_S, SETTLE_S, act_when_idle
from radixdeck.daemon.actions import Actions
from radixdeck.daemon.link import EngineLink
from radixdeck.policies.events import ActionTaken, EngineEvent
from radixdeck.policies.primitives import PREEMPTED, Action


class Asked:
    """Policies that are asked, and an engine that does what they want."""

    def __init__(self, wants: list[Action], *, ok: bool = True) -> None:
        self.through, self.idle = asyncio.Event(), True
        self.at_s: list[float] = []
        self.done: list[tuple[Action, str]] = []
        self.passed_over: list[tuple[Action, str]] = []
        self.at_once, self.busy_after_one = 1, False
        self._wants, self._ok = wants, ok

    def wanted(self) -> list[tuple[str, Action]]:
        self.at_s.append(time.monotonic())
        return [("speculation", self._wants.pop()) for _ in range(min(self.at_once, len(self._wants)))]

    async def carry_out(self, action: Action, by: str) -> tuple[bool, str, int]:
        self.done.append((action, by))
        self.idle = not self.busy_after_one
        return self._ok, "", 0

    def pass_over(self, action: Action, by: str) -> None:
        self.passed_over.append((action, by))

    async def run(self, for_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await act_when_idle(self.through, lambda: self.idle, self.wanted, self.carry_out, self.pass_over)

    async def run_until(self, true: Callable[[], bool]) -> None:
        async with beside(act_when_idle(self.through, lambda: self.idle, self.wanted, self.carry_out, self.pass_over)):
            await until(true, "they are asked")


async def test_they_are_asked_once_a_request_is_through_and_then_less_and_less_often() -> None:
    asked = Asked([])
    asked.through.set()
    begun_s = time.monotonic()
    await asked.run_until(lambda: len(asked.at_s) == 6)
    waits_s = [after - before for before, after in zip([begun_s, *asked.at_s], asked.at_s, strict=False)]
    assert 0.9 * SETTLE_S <= waits_s[0] < PERIOD_S  # a loop may count in whole milliseconds
    assert all(wait_s >= 0.9 * 2**n * SETTLE_S for n, wait_s in enumerate(waits_s[1:]))


async def test_who_had_something_warmed_is_asked_again_at_once_and_who_was_refused_is_not() -> None:
    warm = Action("warm", agent="a")
    asked, refused = Asked([warm] * 12), Asked([warm] * 5, ok=False)
    for one in (asked, refused):
        one.through.set()
    await asked.run(3.0)
    assert len(asked.done) == 12, "less and less often it would take longer"
    await refused.run(0.12)
    assert len(refused.done) <= 4
    assert all(done == (warm, "speculation") for done in (*asked.done, *refused.done))


async def test_nobody_is_asked_while_a_request_is_on_its_way() -> None:
    asked = Asked([Action("warm", agent="a")])
    asked.idle = False
    asked.through.set()
    await asked.run(0.1)
    assert asked.at_s == []
    asked.idle = True
    asked.through.set()
    await asked.run_until(lambda: len(asked.done) == 1)


async def test_what_is_wanted_is_passed_over_once_a_request_has_come() -> None:
    first, second, third = (Action("warm", agent=agent) for agent in "abc")
    asked = Asked([third, second, first])
    asked.at_once, asked.busy_after_one = 3, True
    asked.through.set()
    await asked.run_until(lambda: len(asked.passed_over) == 2)
    assert asked.done == [(first, "speculation")]
    assert asked.passed_over == [(second, "speculation"), (third, "speculation")]


def test_whoever_wanted_what_is_passed_over_learns_so(tmp_path: Path) -> None:
    told: list[EngineEvent] = []
    link = EngineLink(f"ipc://{tmp_path}/link", lambda _seq, _events: None, lambda _hello: None)  # no engine is there
    front: Any = None
    Actions(link, front, told.append).pass_over(Action("warm", agent="a", session="s"), "speculation")
    (taken,) = told
    assert isinstance(taken, ActionTaken)
    assert (taken.kind, taken.agent, taken.session, taken.ok, taken.result) == ("warm", "a", "s", False, PREEMPTED)
