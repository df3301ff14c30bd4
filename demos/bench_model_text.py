"""The modelled bench in words: tables for a terminal, the targets with yes or NO, the verdict last."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec

from .bench_model_cells import BUDGETS, Cell
from .bench_model_judge import Row, Summary, gap_of, of, passed, summarise
from .bench_model_ways import AGENTS
from .report import table


def names_of(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """Ways and families, each in the order in which they first come."""
    return list(dict.fromkeys(cell.way for cell in cells)), list(dict.fromkeys(cell.family for cell in cells))


def summaries(cells: Sequence[Cell]) -> list[Summary]:
    """One per way and family that it ran on."""
    ways, families = names_of(cells)
    ran = {(cell.way, cell.family) for cell in cells}
    return [summarise(cells, way, family) for way in ways for family in families if (way, family) in ran]


def by_family(cells: Sequence[Cell], ways: Sequence[str]) -> str:
    """Share of the gap closed, percent, and in brackets its spread over seeds; `all`: agents on generated traffic."""
    _, families = names_of(cells)
    rows: list[list[str]] = []
    for way in ways:
        mine = of(cells, way)
        if not mine:
            continue
        present = {cell.family for cell in mine}
        told = [_told(summarise(cells, way, family)) if family in present else "-" for family in families]
        worst = min(mine, key=lambda cell: cell.points)
        rows.append([way, *told, f"{gap_of(mine, AGENTS):.1f}", f"{worst.points:+.1f}"])
    return table(["gap closed, %", *families, "all", "worst cell, points"], rows)


def _told(summary: Summary) -> str:
    return f"{summary.gap:.0f} ({summary.spread:.0f})"


def by_budget(cells: Sequence[Cell], ways: Sequence[str]) -> str:
    """Mean over the families of agents, at each size: share of the gap closed, hit rate beside LRU's and the best."""
    rows: list[list[str]] = []
    for way in ways:
        mine = of(cells, way, AGENTS)
        if mine:
            told = [_sized([cell for cell in mine if cell.budget == budget]) for budget in BUDGETS]
            rows.append([way, *told])
    return table(["gap closed, % (hit rate: LRU, this, best)", *(f"{budget:g}" for budget in BUDGETS)], rows)


def _sized(cells: Sequence[Cell]) -> str:
    if not cells:
        return "-"
    rates = [(cell.lru, cell.hit, cell.best) for cell in cells]
    lru, hit, best = (100 * statistics.fmean(values) for values in zip(*rates, strict=True))
    return f"{gap_of(cells, AGENTS):.0f} ({lru:.1f}, {hit:.1f}, {best:.1f})"


def by_prefetch(cells: Sequence[Cell], ways: Sequence[str]) -> str:
    """What warm-ups brought and cost, over the families of agents."""
    rows: list[list[str]] = []
    for way in ways:
        mine = of(cells, way, AGENTS)
        warmed, used, lost, prompts = (
            sum(getattr(cell, f"{what}_tokens") for cell in mine) for what in ("warmed", "used", "lost", "prompt")
        )
        if warmed:
            above = statistics.fmean(cell.above_best for cell in mine)
            shares = (100 * warmed / prompts, 100 * used / warmed, 100 * lost / prompts)
            waited_ms = 1000 * sum(cell.delay_s for cell in mine) / sum(cell.requests for cell in mine)
            rows.append([way, f"{above:+.1f}", *(f"{share:.1f}" for share in shares), f"{waited_ms:.1f}"])
    header = [
        "prefetch",
        "points above best without",
        "loaded, % of prompts",
        "used of it, %",
        "lost, % of prompts",
        "delay, ms/request",
    ]
    return table(header, rows) if rows else "no way of running prefetched anything"


def targets(rows: Sequence[Row]) -> str:
    told = [[row.what, row.target, row.value, "yes" if row.met else "NO"] for row in rows]
    notes = [f"{row.what}: {row.where}" for row in rows if row.where and not row.met]
    return "\n".join([table(["target", "", "measured", "met"], told), *notes])


def text(cells: Sequence[Cell], ablated: Sequence[Cell], rows: Sequence[Row]) -> str:
    """All of it."""
    ways, _ = names_of(cells)
    parts = [by_family(cells, ways), by_budget(cells, ways), by_prefetch(cells, ways)]
    if ablated:
        parts.append("Parts of kv_caching, alone and left out, and with hints, named topologies with 12 agents:")
        parts.append(by_family(ablated, names_of(ablated)[0]))
    return "\n\n".join([*parts, targets(rows), "PASSED" if passed(rows) else "MISSED"])


def results(cells: Sequence[Cell], ablated: Sequence[Cell]) -> dict[str, Any]:
    """For the record: by way and family, rounded; hit rates and gaps in percent."""
    return {
        "ways": [_rounded(summary) for summary in summaries(cells)],
        "parts": [_rounded(summary) for summary in summaries(ablated)],
        "by_budget": {
            way: {f"{budget:g}": round(gap_of(_at(cells, way, budget), AGENTS), 1) for budget in BUDGETS}
            for way in names_of(cells)[0]
            if of(cells, way, AGENTS)
        },
        "cells": len(cells) + len(ablated),
        "evaluating_s": round(sum(cell.took_s for cell in (*cells, *ablated)), 1),
    }


def _at(cells: Sequence[Cell], way: str, budget: float) -> list[Cell]:
    return [cell for cell in of(cells, way) if cell.budget == budget]


def _rounded(summary: Summary) -> dict[str, Any]:
    return {
        name: round(value, 2) if isinstance(value, float) else value
        for name, value in msgspec.structs.asdict(summary).items()
    }
