"""Asks two servers the same turns, one after the other turn by turn, so that what drifts on a machine drifts for both.

Which of the two is asked first alternates. Runs as a process of its own, like `drive.py`, whose client it uses.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec
from openai import APIError

from .apart import Drive, child_lines, drive_of
from .drive import Outcome, Plan, describe, drive

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
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.pairs", description=main.__doc__)
    parser.add_argument("--base-url", required=True, action="append")
    parser.add_argument("--plan", required=True, type=Path, help="JSON file of a Plan")
    told = parser.parse_args(arguments)
    try:
        plan = msgspec.json.decode(told.plan.read_bytes(), type=Plan)
        asyncio.run(ask_in_pairs(plan, told.base_url, _print_line))
    except (OSError, msgspec.DecodeError) as error:
        print(f"{told.plan}: {error}", file=sys.stderr)
        return 2
    except APIError as error:
        print(f"{' or '.join(told.base_url)}: {describe(error)}", file=sys.stderr)
        return 1
    return 0


def _print_line(asked: Asked) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(asked) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
