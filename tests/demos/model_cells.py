"""Cells of the modelled bench made by hand, for tests of how they are judged."""

from __future__ import annotations

from typing import Any

from radixdeck.demos.bench_model_cells import Cell
from radixdeck.demos.bench_model_judge import Row
from radixdeck.demos.bench_model_ways import OURS

PROTECT = "protect_shared"


def cell(family: str, way: str = OURS, hit: int = 80, lru: int = 50, best: int = 90, **more: Any) -> Cell:
    """Hit rates in percent of a thousand prompt tokens."""
    told = {"variant": f"a {family}", "seed": 1, "budget": 0.5, "kv_tokens": 9, "requests": 500, **more}
    return Cell(
        family=family, way=way, prompt_tokens=1000, cached_tokens=10 * hit, lru_tokens=10 * lru, best_tokens=10 * best,
        **told,
    )  # fmt: skip


def row(rows: list[Row], what: str) -> Row:
    return next(row for row in rows if row.what == what)
