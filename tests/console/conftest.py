"""The console's tests start the real app some hundreds of times: its style sheets are parsed once for all of them, and
it is at rest as soon as a frame passes without work."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable, Iterator
from time import monotonic, process_time

import pytest
from textual._context import active_app
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.css.types import CSSLocation

STEP_S = 0.01
"""Longer than a frame of Textual's screens, 1/120 s, so that whoever has something to draw is seen at work."""


async def at_rest(min_sleep: float = STEP_S, max_sleep: float = 1) -> None:
    """Textual's `wait_for_idle`, which follows every key and pause, in steps half as long: until one passes in which
    this process hardly computes, though it could: nothing waits for its turn, and other processes did not have the core
    for so long that the step was late. Animations, whose frames are longer than a step, are asked about."""
    began_s, app, loop = monotonic(), active_app.get(None), asyncio.get_running_loop()
    while (passed_s := monotonic() - began_s) < max_sleep:
        spent_s = process_time()
        await asyncio.sleep(STEP_S)
        late = monotonic() - began_s - passed_s > 2 * STEP_S
        still = (app is None or app.animator._complete_event.is_set()) and not (late or getattr(loop, "_ready", ()))
        if still and process_time() - spent_s < STEP_S / 20 and passed_s + STEP_S > min_sleep:
            return


@pytest.fixture(scope="session", autouse=True)
def _rests_soon() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.app.wait_for_idle", at_rest)
        patch.setattr("textual.pilot.wait_for_idle", at_rest)
        yield


@pytest.fixture(scope="session", autouse=True)
def _parsed_once() -> Iterator[None]:
    """Textual keeps what it parsed with the app and only reads it; the same text and variables have the same rules."""
    parse, parsed = Stylesheet._parse_rules, dict[Hashable, list[RuleSet]]()

    def once(
        sheet: Stylesheet,
        css: str,
        read_from: CSSLocation,
        is_default_rules: bool = False,
        tie_breaker: int = 0,
        scope: str = "",
    ) -> list[RuleSet]:
        told = (css, read_from, is_default_rules, tie_breaker, scope)
        key = (*told, *sheet._variables.items())
        if key not in parsed:
            parsed[key] = parse(sheet, *told)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", once)
        patch.setattr(RuleSet, "__hash__", object.__hash__)  # as unique as its own, but no call of a Python function
        yield


@pytest.fixture(autouse=True)
def _nobody_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemons on stage tell no numbers every second, and a slow machine takes long over a test."""
    monkeypatch.setattr("radixdeck.console.silence.SILENT_S", math.inf)
