"""The queue between those who must not wait and the network: order kept, latest per key, never too much."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from radixdeck.daemon.wire_mailbox import Mailbox


async def drain(box: Mailbox[str]) -> list[str]:
    return [(await box.get())[0] for _ in range(len(box))]


async def test_a_newer_value_of_a_key_takes_the_place_of_the_older_at_the_end() -> None:
    box: Mailbox[str] = Mailbox(10)
    for item, key in [("table 1", "table"), ("event 1", None), ("table 2", "table"), ("event 2", None)]:
        box.put(item, key=key, weight=1)
    assert await drain(box) == ["event 1", "table 2", "event 2"]


async def test_what_is_put_back_comes_first() -> None:
    box: Mailbox[str] = Mailbox(10)
    for item in "abc":
        box.put(item, weight=1)
    item, weight = await box.get()
    box.put_back(item, weight)
    assert await drain(box) == ["a", "b", "c"]
    assert box.weight == 0


async def test_the_oldest_without_a_key_are_dropped_and_told() -> None:
    box: Mailbox[str] = Mailbox(5)
    box.put("table", key="table", weight=100)
    assert box.put("a", weight=3) == []
    assert box.put("b", weight=3) == ["a"]
    assert box.put("huge", weight=9) == ["b", "huge"]
    assert await drain(box) == ["table"]


async def test_a_waiting_reader_wakes_up() -> None:
    box: Mailbox[str] = Mailbox(5)
    waiting = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    box.discard(lambda item: True)
    box.put("a", weight=1)
    assert await waiting == ("a", 1)


@given(st.lists(st.tuples(st.sampled_from(["put", "key", "get", "back", "discard"]), st.integers(1, 4)), max_size=60))
def test_weight_is_exact_and_bounded(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        box: Mailbox[int] = Mailbox(8)
        inside: dict[int, int] = {}
        for number, (step, weight) in enumerate(steps):
            if step == "put":
                inside[number] = weight
                for dropped in box.put(number, weight=weight):
                    del inside[dropped]
            elif step == "key":
                box.put(-1, key="k", weight=weight)
            elif step in ("get", "back") and len(box):
                item, taken = await box.get()
                if item >= 0 and step == "back":
                    box.put_back(item, taken)
                elif item >= 0:
                    assert inside.pop(item) == taken
            elif step == "discard":
                box.discard(lambda item: item >= 0 and item % 2 == 0)
                inside = {item: held for item, held in inside.items() if item % 2}
            assert box.weight == sum(inside.values()) <= 8

    asyncio.run(run())
