"""The console's tests start the real app some hundreds of times: its style sheets are parsed once for all of them, and
it is at rest as soon as a frame passes without work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic, process_time

import pytest
from stylesheets import read_once
from textual._context import active_app

STEP_S = 0.01
"""Longer than a frame of Textual's screens, 1/120 s, so that whoever has something to draw is seen at work."""


async def at_rest(min_sleep: float = STEP_S, max_sleep: float = 1) -> None:
    """Textual's `wait_for_idle`, which follows every key and pause, in steps half as long: until one passes in which
    this process hardly computes. Animations, whose frames are longer than a step, are asked about."""
    began_s, app = monotonic(), active_app.get(None)
    while (passed_s := monotonic() - began_s) < max_sleep:
        spent_s = process_time()
        await asyncio.sleep(STEP_S)
        still = app is None or app.animator._complete_event.is_set()
        if still and process_time() - spent_s < STEP_S / 20 and passed_s + STEP_S > min_sleep:
            return


@pytest.fixture(scope="session", autouse=True)
def _rests_soon() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.app.wait_for_idle", at_rest)
        patch.setattr("textual.pilot.wait_for_idle", at_rest)
        yield


@pytest.fixture(scope="session", autouse=True)
def _read_once() -> Iterator[None]:
    with read_once():
        yield
