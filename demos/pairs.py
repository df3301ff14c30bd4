"""Asks two servers the same turns, one after the other turn by turn, so that what drifts on a machine drifts for both.

Which of the two is asked first alternates. Runs as a process of its own, like `drive.py`, whose client it uses.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing

import msgspec

from .apart import Drive, child_lines, drive_of
from .drive import Outcome, Plan, drive, run_child

PAUSE_S = 0.1
"""Between an answer and the next request: what a server still does after an answer is not the other one's delay."""


class Asked(msgspec.Struct, frozen=True):
    """One turn at one of the servers; `side` counts from 0 in the order of the URLs."""

    side: int
    outcome: Outcome


async def pairs_apart(
    plan: Plan, base_urls: tuple[str, str], on_outcome: Callable[[Outcome], None]
) -> tuple[Drive, Drive]:
    """Both drives of `plan`, from a child process. Raises DriveError if the child fails."""
    asked: list[Asked] = []
    async with aclosing(child_lines("radixdeck.demos.pairs", plan, *base_urls)) as lines:
        async for line in lines:
            asked.append(msgspec.json.decode(line, type=Asked))
            on_outcome(asked[-1].outcome)
    first, second = ([told.outcome for told in asked if told.side == side] for side in (0, 1))
    return drive_of(first), drive_of(second)


async def ask_in_pairs(plan: Plan, base_urls: Sequence[str], take: Callable[[Asked], None]) -> None:
    """Every turn at every server. Raises openai.APIError if one of them cannot even name its model."""
    for number, turn in enumerate(plan.turns):
        one = msgspec.structs.replace(plan, turns=[turn], concurrency=1)
        sides = range(len(base_urls))
        for side in sides if number % 2 == 0 else reversed(sides):

            def told(outcome: Outcome, side: int = side, number: int = number) -> None:
                take(Asked(side, msgspec.structs.replace(outcome, index=number)))

            await asyncio.sleep(PAUSE_S)
            await drive(one, base_urls[side], told)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m radixdeck.demos.pairs --plan FILE --base-url URL/v1 --base-url URL/v1`: JSON lines of Asked."""
    return run_child("radixdeck.demos.pairs", main.__doc__, ask_in_pairs, arguments)


if __name__ == "__main__":
    sys.exit(main())
