"""How a tunable moves under the arrow keys and the mouse, and where it stands between its bounds. Pure."""

from __future__ import annotations

import math

from radixdeck.daemon.wire import TunableInfo

STEPS = 20
WIDE = 50.0
"""A range this many times as long as the default is far from its low end is walked in orders of magnitude."""


def place_of(tunable: TunableInfo, value: float) -> float:
    """Where a value stands between the bounds, 0 to 1; by order of magnitude where the range is wide."""
    span = tunable.high - tunable.low
    if span <= 0:
        return 1.0
    share = max(0.0, min(1.0, (value - tunable.low) / span))
    return math.log1p(share * span) / math.log1p(span) if _is_wide(tunable) else share


def value_at(tunable: TunableInfo, place: float) -> float:
    """The round value next to a place between the bounds, 0 to 1: what `place_of` tells, the other way round."""
    span, place = tunable.high - tunable.low, max(0.0, min(1.0, place))
    if span <= 0 or place in (0.0, 1.0) or _is_switch(tunable):
        return tunable.high if place >= 0.5 else tunable.low
    if _is_wide(tunable):
        value = _round_near(tunable.low + math.expm1(place * math.log1p(span)))
    else:
        step = _round_near(span / STEPS)
        value = float(f"{round((tunable.low + place * span) / step) * step:.9g}")
    return max(tunable.low, min(tunable.high, value))


def stepped(tunable: TunableInfo, value: float, direction: int) -> float:
    """The next round value up (1) or down (-1), within the bounds: 1, 2, 5, 10, 20 ... in a wide range, the other end
    of a switch, else the next multiple of about a twentieth of the range."""
    if _is_switch(tunable):
        moved = tunable.high if direction > 0 else tunable.low
    elif _is_wide(tunable):
        moved = _next_round(value, direction)
    else:
        moved = _next_multiple(value, _round_near((tunable.high - tunable.low) / STEPS), direction)
    return max(tunable.low, min(tunable.high, moved))


def _is_switch(tunable: TunableInfo) -> bool:
    return (tunable.low, tunable.high) == (0.0, 1.0) and tunable.default in (0.0, 1.0)


def _is_wide(tunable: TunableInfo) -> bool:
    above = tunable.default - tunable.low
    return above > 0 and tunable.high - tunable.low > WIDE * above


def _next_multiple(value: float, step: float, direction: int) -> float:
    if step <= 0:
        return value
    place = round(value / step, 6)
    whole = math.floor(place) + 1 if direction > 0 else math.ceil(place) - 1
    return float(f"{whole * step:.9g}")


def _next_round(value: float, direction: int) -> float:
    """The next of ... 1, 2, 5, 10, 20, 50 ... beyond a value; 0 below the smallest that matters."""
    if value <= 0:
        return 1.0 if direction > 0 else 0.0
    exponent = math.floor(math.log10(value))
    rounds = [mantissa * 10.0**power for power in range(exponent - 1, exponent + 2) for mantissa in (1, 2, 5)]
    beyond = [r for r in rounds if (r > value * 1.000001 if direction > 0 else r < value * 0.999999)]
    return min(beyond) if direction > 0 else max(beyond)


def _round_near(value: float) -> float:
    """The 1, 2 or 5 times a power of ten next to a positive value; 0 for anything else."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return min((mantissa * power for mantissa in (1, 2, 5, 10)), key=lambda r: abs(r - value))
