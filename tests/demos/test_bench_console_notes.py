"""What the measured console notes of itself, and how it is told which key comes: neither grows while it is measured."""

from __future__ import annotations

import sys

from radixdeck.demos.bench_console_keys import BASE, NUMBERS, Announced, announcement
from radixdeck.demos.bench_console_notes import Numbers, Sizes


def test_numbers_are_noted_in_room_that_was_there_at_the_start() -> None:
    numbers = Numbers(1_000)
    before = sys.getallocatedblocks()
    for place in range(2_000):
        numbers.note(place / 7)
    assert sys.getallocatedblocks() - before < 100
    assert numbers.values == [place / 7 for place in range(1_000)]
    assert Numbers(3).values == []


def test_of_sizes_the_last_and_the_largest_are_kept() -> None:
    sizes = Sizes()
    for nodes in (5, 9, 7):
        sizes.note({"nodes": nodes, "agents": 2})
    assert sizes.last == {"nodes": 7, "agents": 2}
    assert sizes.most == {"nodes": 9, "agents": 2}


def test_every_key_is_told_apart_with_few_characters() -> None:
    announced = Announced()
    told: set[str] = set()
    for number in range(NUMBERS):
        text = announcement(number)
        told |= set(text)
        assert all(announced.is_digit(digit) for digit in text)
        assert [announced.number(digit) for digit in text] == [None, number]
    assert len(told) <= BASE + NUMBERS // BASE + 1


def test_a_key_that_anybody_types_is_no_digit() -> None:
    assert not any(Announced.is_digit(key) for key in "j1G/\x1b\r é")
