"""The picture of a modelled bench: how much of the way from LRU to the best evictions each policy goes, by family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bench_model_judge import Summary
from .picture import COLOURS

LEAST = -50.0
"""Percent at which a bar is cut."""
LEAST_WIDTH = 7.0
"""Inches, so that title and legend fit over a single family."""
HATCHES = ("", "//", "..", "xx", "\\\\", "--")


def draw_gaps(path: Path, title: str, summaries: Sequence[Summary], ways: Sequence[str]) -> None:
    """One group of bars per family, one bar per way with its spread over seeds; below LEAST a bar is cut and
    has none."""
    from matplotlib.figure import Figure

    families = list(dict.fromkeys(summary.family for summary in summaries))
    told = {(summary.way, summary.family): summary for summary in summaries}
    figure: Any = Figure(figsize=(max(LEAST_WIDTH, 1.4 * len(families) + 3), 5), layout="constrained")
    axis: Any = figure.subplots()
    width = 0.8 / max(1, len(ways))
    for place, way in enumerate(ways):
        shown = [(n, told[way, family]) for n, family in enumerate(families) if (way, family) in told]
        axis.bar(
            [n + (place + 0.5) * width - 0.4 for n, _ in shown],
            [max(LEAST, summary.gap) for _, summary in shown],
            width,
            yerr=[summary.spread if summary.gap > LEAST else 0.0 for _, summary in shown],
            label=way,
            color=COLOURS[place % len(COLOURS)],
            hatch=HATCHES[place % len(HATCHES)],
            error_kw={"linewidth": 0.8},
        )
    axis.axhline(0, color="black", linewidth=1)
    axis.axhline(100, color="black", linewidth=1, linestyle=":")
    axis.set_ylabel(f"LRU 0, best evictions 100 (%), cut at {LEAST:g}")
    axis.set_xticks(range(len(families)), families, rotation=25, ha="right")
    axis.set_ylim(-55, 125)
    figure.legend(loc="outside lower center", ncols=min(4, len(ways)), frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
