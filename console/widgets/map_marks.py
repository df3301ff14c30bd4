"""Which rows of the map have to be drawn anew, and what lies above it where something has just gone. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator
from itertools import accumulate
from math import inf
from typing import NamedTuple

from ..cache_map import CacheMap, Span
from ..flashes import MOST_SHARE, Flashes
from .map_looks import Look


class Mark(NamedTuple):
    """Cells `first` up to, not including, `end` show `glyph`, whosever they are."""

    first: int
    end: int
    glyph: str


class Marks(list[Mark]):
    """In order; not changed once they are there."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        super().__init__(marks)
        self._reach = list(accumulate((mark.end for mark in self), max))
        """How far they reach up to each of them."""

    def on(self, first: int, end: int) -> list[Mark]:
        """Those that may lie on these cells, all that do among them."""
        return self[bisect_right(self._reach, first) : bisect_left(self, (end,))]


def gone_marks(flashes: Flashes, map_: CacheMap, resident: Container[int]) -> Marks:
    """Where nodes went: where the map has kept their place, or where they lie as it was laid out; in order. A
    `resident` node below keeps its first cell in sight, so a mark that begins there reaches its second. Of those that
    went in haste, the last that have room."""
    kept = {span.node: span for span in map_.gone}
    marks: list[Mark] = []
    room = map_.cells * MOST_SHARE if flashes.hasty else inf
    for node, gone in reversed(flashes.gone.items()):
        span = kept.get(node) or map_.span_of(node)
        if span is None:
            continue
        below, end = map_.at(span.first), span.end
        if below.first == span.first and below.node in resident:
            end = max(end, min(below.end, span.first + 2))
        room -= end - span.first
        if room < 0 and marks:
            break
        marks.append(Mark(span.first, end, gone.glyph))
    return Marks(sorted(marks))


def rows_of(spans: Iterable[Span | Mark], width: int) -> set[int]:
    """The rows that these lie in."""
    return {y for span in spans for y in range(span.first // width, (span.end - 1) // width + 1)} if width else set()


def runs_of(rows: Iterable[int], height: int) -> Iterator[range]:
    """Rows of the map as stretches of neighbours."""
    first = last = -1
    for y in sorted(rows):
        if y >= height:
            break
        if last >= 0 and y == last + 1:
            last = y
            continue
        if last >= 0:
            yield range(first, last + 1)
        first = last = y
    if last >= 0:
        yield range(first, last + 1)


def differing(old: list[Span], new: list[Span], old_looks: dict[int, Look], new_looks: dict[int, Look]) -> range:
    """The cells from the first to the last that are not as they were."""
    same = _alike(zip(old, new, strict=False), old_looks, new_looks)
    if same == len(old) == len(new):
        return range(0)
    behind = _alike(zip(reversed(old), reversed(new), strict=False), old_looks, new_looks)
    if same >= len(new) or behind >= len(new):
        # Not the same cells any more.
        return range(new[-1].end if new else 0)
    return range(new[same].first, new[-1 - behind].end)


def _alike(pairs: Iterable[tuple[Span, Span]], old_looks: dict[int, Look], new_looks: dict[int, Look]) -> int:
    """How many pairs of spans look the same, from the first on."""
    number = 0
    for before, after in pairs:
        if before != after or old_looks.get(before.node) != new_looks.get(after.node):
            break
        number += 1
    return number
