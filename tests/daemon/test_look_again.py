"""Events that the engine dropped: its tree is asked for anew after each loss, sooner or later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from background import beside
from brokers import until

from radixdeck.daemon import look_again
from radixdeck.daemon.engine.protocol import Order, Snapshot
from radixdeck.daemon.look_again import LookAgain

PERIOD_S = 0.2


class Engine:
    """Takes orders while it is `there`, and keeps when they came."""

    def __init__(self) -> None:
        self.there = True
        self.looks_s: list[float] = []
        self.look = LookAgain(self._take)

    def _take(self, order: Order) -> bool:
        assert isinstance(order, Snapshot)
        if self.there:
            self.looks_s.append(asyncio.get_running_loop().time())
        return self.there

    async def looked(self, times: int) -> None:
        await until(lambda: len(self.looks_s) == times, f"look {times}")


@pytest_asyncio.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Engine]:
    monkeypatch.setattr(look_again, "PERIOD_S", PERIOD_S)
    monkeypatch.setattr(look_again, "RETRY_S", 0.01)
    made = Engine()
    async with beside(made.look.run()):
        yield made


async def test_a_loss_soon_after_a_look_is_looked_after_later(engine: Engine) -> None:
    engine.look.events_are_missing()
    await engine.looked(1)
    engine.look.events_are_missing()
    engine.look.events_are_missing()
    await engine.looked(2)
    assert engine.looks_s[1] - engine.looks_s[0] >= 0.9 * PERIOD_S
    await asyncio.sleep(3 * PERIOD_S)
    assert len(engine.looks_s) == 2


async def test_a_loss_while_the_engine_takes_no_orders_is_looked_after_once_it_does(engine: Engine) -> None:
    engine.there = False
    engine.look.events_are_missing()
    await asyncio.sleep(0.05)
    engine.there = True
    await engine.looked(1)


async def test_looks_that_lose_events_themselves_come_less_and_less_often(engine: Engine) -> None:
    for times in range(1, 4):
        engine.look.events_are_missing()
        await engine.looked(times)
    first_s, second_s, third_s = engine.looks_s
    assert third_s - second_s >= 1.5 * (second_s - first_s)
