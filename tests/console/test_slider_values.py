"""Where a value of a tunable stands between its bounds, and which one stands at a place."""

from __future__ import annotations

import pytest

from radixdeck.console.slider import place_of, stepped, value_at
from radixdeck.daemon.wire import TunableInfo


def tunable(low: float, high: float, default: float) -> TunableInfo:
    return TunableInfo(name="x", value=default, default=default, low=low, high=high, unit="", doc="")


@pytest.mark.parametrize(
    ("info", "value", "up", "down"),
    [
        (tunable(0.5, 8.5, 2.0), 2.0, 2.5, 1.5),
        (tunable(0.5, 8.5, 2.0), 2.1, 2.5, 2.0),
        (tunable(0.5, 8.5, 2.0), 8.5, 8.5, 8.0),
        (tunable(0.5, 8.5, 2.0), 0.5, 1.0, 0.5),
        (tunable(0.0, 1.0, 0.3), 0.3, 0.35, 0.25),
        (tunable(0.0, 1.0, 1.0), 1.0, 1.0, 0.0),
        (tunable(1.0, 1e9, 4096.0), 4096.0, 5000.0, 2000.0),
        (tunable(1.0, 1e9, 4096.0), 1e9, 1e9, 5e8),
        (tunable(0.0, 1000.0, 10.0), 0.0, 1.0, 0.0),
        (tunable(1.0, 1.0, 1.0), 1.0, 1.0, 1.0),
    ],
)
def test_steps_are_round_and_within_bounds(info: TunableInfo, value: float, up: float, down: float) -> None:
    assert stepped(info, value, 1) == pytest.approx(up)
    assert stepped(info, value, -1) == pytest.approx(down)
    assert 0.0 <= place_of(info, down) <= place_of(info, value) <= place_of(info, up) <= 1.0


@pytest.mark.parametrize(
    ("info", "place", "value"),
    [
        (tunable(0.5, 8.5, 2.0), 0.5, 4.5),
        (tunable(0.5, 8.5, 2.0), -3.0, 0.5),
        (tunable(0.5, 8.5, 2.0), 7.0, 8.5),
        (tunable(0.0, 1.0, 0.3), 0.52, 0.5),
        (tunable(0.0, 1.0, 1.0), 0.4, 0.0),
        (tunable(0.0, 1.0, 1.0), 0.6, 1.0),
        (tunable(1.0, 1e9, 4096.0), 0.5, 2e4),
        (tunable(1.0, 1e9, 4096.0), 0.0, 1.0),
        (tunable(1.0, 1.0, 1.0), 0.5, 1.0),
    ],
)
def test_a_place_on_a_slider_is_a_round_value(info: TunableInfo, place: float, value: float) -> None:
    assert value_at(info, place) == pytest.approx(value)
