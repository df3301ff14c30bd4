"""Pictures of measurements, drawn with matplotlib without a display. Every curve also differs in line style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .drive import Outcome

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Okabe and Ito's palette, safe for colour-blind readers."""
STYLES = ("--", "-", "-.", ":")


def _figure(columns: int) -> tuple[Any, Any]:
    """Figure and axes. matplotlib is imported late: it is optional and takes a second."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(5.2 * columns, 4.2), layout="constrained")
    return figure, figure.subplots(1, columns)


def draw_drives(path: Path, title: str, drives: Mapping[str, Sequence[Outcome]], bound: float | None) -> None:
    """Hit rate as it went, over the last 30 requests, and the distribution of the time to first token."""
    figure, (left, right) = _figure(2)
    for place, (name, outcomes) in enumerate(drives.items()):
        look = {"label": name, "color": COLOURS[place % 4], "linestyle": STYLES[place % 4]}
        answered = [outcome for outcome in outcomes if not outcome.error]
        left.plot(rolling_hit_rate(answered, 30), **look)
        _plot_distribution(right, [outcome.ttft_s for outcome in answered], look)
    if bound is not None:
        left.axhline(100 * bound, color="black", linewidth=1, linestyle=":", label="Belady's bound (whole run)")
    _dress(left, "request", "hit rate over the last 30 requests, %")
    _dress(right, "time to first token, ms", "requests, %")
    left.set_ylim(0, 100)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def rolling_hit_rate(outcomes: Sequence[Outcome], window: int) -> list[float]:
    """Percent of prompt tokens from the cache over the last `window` requests, after each request."""
    rates: list[float] = []
    for end in range(1, len(outcomes) + 1):
        recent = outcomes[max(0, end - window) : end]
        prompt_tokens = sum(outcome.prompt_tokens for outcome in recent)
        rates.append(100 * sum(outcome.cached_tokens for outcome in recent) / prompt_tokens if prompt_tokens else 0.0)
    return rates


def draw_repetitions(
    path: Path,
    title: str,
    repetitions: Sequence[str],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    lines: Mapping[str, Sequence[float]],
) -> None:
    """One panel per measure: a bar per system and repetition; `lines`: a mark per repetition, such as the bound."""
    figure, axes = _figure(len(panels))
    for axis, (measure, systems) in zip(axes if len(panels) > 1 else [axes], panels.items(), strict=True):
        width = 0.8 / len(systems)
        for place, (system, values) in enumerate(systems.items()):
            at = [n + (place + 0.5) * width - 0.4 for n in range(len(values))]
            axis.bar(at, values, width, label=system, color=COLOURS[place % 4], hatch=("", "//", "..", "xx")[place % 4])
        for n, value in enumerate(lines.get(measure, ())):
            axis.hlines(value, n - 0.4, n + 0.4, color="black", label="Belady's bound" if n == 0 else None)
        axis.set_ylabel(measure)
        axis.set_xticks(range(len(repetitions)), repetitions)
    known = {
        label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=len(known), frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def draw_lines(
    path: Path,
    title: str,
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    across: str,
    up: str,
) -> None:
    """One panel per name: curves through points (x, y), x on a logarithmic axis with a tick at each; the last curve is
    the bound's."""
    figure, axes = _figure(len(panels))
    for axis, (name, curves) in zip(axes if len(panels) > 1 else [axes], panels.items(), strict=True):
        for place, (label, points) in enumerate(curves.items()):
            colour = "black" if place == len(curves) - 1 else COLOURS[place % 4]
            axis.plot(*zip(*points, strict=True), marker="o", label=label, color=colour, linestyle=STYLES[place % 4])
        axis.set_xscale("log")
        measured = sorted({x for points in curves.values() for x, _ in points})
        axis.set_xticks(measured, [f"{x:,.0f}" for x in measured])
        axis.minorticks_off()
        axis.set_title(name)
        axis.set_ylim(0, 100)
        _dress(axis, across, up)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def draw_distributions(path: Path, title: str, panels: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """One panel per measure: the share of samples that are at most so much."""
    figure, axes = _figure(len(panels))
    for axis, (measure, curves) in zip(axes if len(panels) > 1 else [axes], panels.items(), strict=True):
        for place, (name, values) in enumerate(curves.items()):
            look = {"label": name, "color": COLOURS[place % 4], "linestyle": STYLES[place % 4]}
            _plot_distribution(axis, values, look)
        _dress(axis, measure, "samples, %")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _plot_distribution(axis: Any, values: Sequence[float], look: Mapping[str, Any]) -> None:
    axis.plot(sorted(values), [100 * (n + 1) / len(values) for n in range(len(values))], **look)


def draw_costs(path: Path, title: str, panels: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> None:
    """One panel per operation: microseconds over the number of nodes, both logarithmic."""
    figure, axes = _figure(len(panels))
    for axis, (what, curves) in zip(axes if len(panels) > 1 else [axes], panels.items(), strict=True):
        for place, (name, at) in enumerate(curves.items()):
            look = {"color": COLOURS[place % 4], "linestyle": STYLES[place % 4], "marker": "ovsd^x"[place % 6]}
            axis.plot([nodes for nodes, _ in at], [value for _, value in at], label=name, **look)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(what)
        _dress(axis, "nodes", "µs of CPU time")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _dress(axis: Any, across: str, up: str) -> None:
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
