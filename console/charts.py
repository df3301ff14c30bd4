"""Values over time as columns of block characters with a scale beside them: readable without colour. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.content import Content

LEVELS = " ▁▂▃▄▅▆▇█"
SCALE_WIDTH = 8


def chart(
    values: Sequence[float | None],
    height: int,
    word: Callable[[float], str],
    *,
    top: float = 0.0,
    style: str = "$secondary",
) -> Content:
    """`height` lines, one column per value, the largest value (or `top`) at the top; None is left blank, and the least
    there is still shows. The scale is worded at the top and at the bottom line."""
    high = top or max((value for value in values if value is not None), default=0.0)
    lines: list[Content] = []
    for line in range(height):
        label = word(high) if line == 0 and high else word(0.0) if line == height - 1 else ""
        blocks = "".join(_block(value, high, height - 1 - line, height) for value in values)
        lines.append(Content.assemble((f"{label:>{SCALE_WIDTH - 1}} ", "$text-muted"), (blocks, style)))
    return Content("\n").join(lines)


def _block(value: float | None, high: float, line: int, height: int) -> str:
    """What one column shows in one line, counted from the bottom."""
    if value is None or high <= 0:
        return " "
    eighths = max(1, round(min(1.0, value / high) * height * 8)) - line * 8
    return LEVELS[max(0, min(8, eighths))]


def axis(first: str, last: str, width: int) -> Content:
    """What the left and the right end of a chart's columns stand for."""
    gap = max(1, width - len(first) - len(last))
    return Content.styled(f"{' ' * SCALE_WIDTH}{first}{' ' * gap}{last}", "$text-muted")
