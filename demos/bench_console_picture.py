"""The console's numbers as a picture: each measure by screen with its floor, and memory over time if it was watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .picture import COLOURS

MEASURES = {
    "cpu_percent": "CPU, % of a core", "frame_p95_ms": "frame p95, ms", "key_p95_ms": "key to screen p95, ms",
    "event_p95_ms": "event to screen p95, ms",
}  # fmt: skip


def draw(
    path: Path, screens: Mapping[str, Mapping[str, float]], floors: Mapping[str, float], rss_mb: Sequence[float]
) -> None:
    """One panel per measure with a bar per screen; the line is the floor. `rss_mb`: one value a second, may be none."""
    from matplotlib.figure import Figure

    panels = len(MEASURES) * bool(screens) + bool(rss_mb)
    figure: Any = Figure(figsize=(3.6 * panels, 4.0), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis, (name, words) in zip(axes, MEASURES.items() if screens else (), strict=False):
        axis.bar(range(len(screens)), [found[name] for found in screens.values()], color=COLOURS[0])
        axis.axhline(floors[name], color="black", linestyle=":", label=f"floor {floors[name]:g}")
        axis.set_xticks(range(len(screens)), list(screens), rotation=40, ha="right")
        axis.set_title(words)
        axis.legend(frameon=False)
    if rss_mb:
        axes[-1].plot([place / 60 for place in range(len(rss_mb))], rss_mb, color=COLOURS[0])
        axes[-1].set_ylim(0, 1.2 * max(rss_mb))
        axes[-1].set_xlabel("minutes")
        axes[-1].set_title("resident memory, MB")
    figure.suptitle("The console at 200x60")
    figure.savefig(path, dpi=110)
