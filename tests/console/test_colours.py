"""Agents' colours stay apart to eyes that see two of the three primaries, and every view has letters besides."""

from __future__ import annotations

import itertools

import pytest
from scenario import run_events
from staging import LARGE, ScriptedFeed, console, drawn, live_messages, screen_text

from radixdeck.console.app import ConsoleApp
from radixdeck.console.screens.base import ModeBar
from radixdeck.console.theme import AGENT_COLOURS, DECK, agent_marks

# Machado, Oliveira, Fernandes 2009, full severity, in linear RGB.
EYES = {
    "all three": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "no red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "no blue": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
LEAST = 10.0
"""Of CIE 1976: about four times what is just noticed."""


def linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def seen(colour: str, eyes: str) -> tuple[float, float, float]:
    """CIE L*a*b* of what these eyes see."""
    parts = [linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5)]
    red, green, blue = (min(1.0, max(0.0, sum(a * b for a, b in zip(row, parts, strict=True)))) for row in EYES[eyes])
    rows = ((0.4124, 0.3576, 0.1805, 0.9505), (0.2126, 0.7152, 0.0722, 1.0), (0.0193, 0.1192, 0.9505, 1.089))
    x, y, z = (root((r * red + g * green + b * blue) / white) for r, g, b, white in rows)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def root(value: float) -> float:
    return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116


@pytest.mark.parametrize("eyes", EYES)
def test_agents_colours_stay_apart(eyes: str) -> None:
    for one, other in itertools.combinations(AGENT_COLOURS, 2):
        apart = sum((a - b) ** 2 for a, b in zip(seen(one, eyes), seen(other, eyes), strict=True)) ** 0.5
        assert apart >= LEAST, (one, other, apart)


def test_letters_are_apart_as_long_as_there_are_any() -> None:
    marks = agent_marks(f"agent {number}" for number in range(36))
    assert len({mark.letter for mark in marks.values()}) == 36


async def test_the_default_is_the_theme_for_all_eyes() -> None:
    async with console() as pilot:
        assert pilot.app.theme == DECK.name


async def test_tree_and_drawing_say_the_same_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ConsoleApp(ScriptedFeed(live_messages(run_events())), animate=False)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("2", "T")
        await drawn(pilot)
        assert "P anchor planner" in screen_text(app)
        await pilot.press("9")
        assert " P  planner" in await drawn(pilot)


async def test_a_click_on_a_name_above_switches_the_screen() -> None:
    async with console(LARGE) as pilot:
        await drawn(pilot)
        place = screen_text(pilot.app).splitlines()[0].index("9 transitions")
        await pilot.click(ModeBar, offset=(place + 3, 0))
        await drawn(pilot)
        assert pilot.app.current_mode == "transitions"
