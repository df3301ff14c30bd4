"""A comparison in words: the table of all workloads, each number beside the bound, and the verdict last."""

from __future__ import annotations

from collections.abc import Sequence

from .report import milliseconds, points, table
from .versus import (
    FLOOR_HIT_POINTS,
    FLOOR_THROUGHPUT_PERCENT,
    FLOOR_TTFT_PERCENT,
    ROOM_POINTS,
    SIDES,
    Comparison,
    judge,
)

HEADER = ["workload and cache", "KV tokens", "hit %", "bound %", "TTFT ms", "p50", "p95", "requests/s"]


def passed(told: Sequence[Comparison]) -> bool:
    """Whether every floor was reached and no run is doubtful."""
    return bool(told) and all(judge(comparison).passed for comparison in told)


def text(told: Sequence[Comparison]) -> str:
    """Tight sizes first, then how it goes on as memory grows, the floors, and PASSED or MISSED in the last line."""
    lines = [table(HEADER, [row for one in told if one.tight and one.repetitions for row in _rows(one)])]
    if growth := [row for one in told if not one.tight and one.repetitions for row in _rows(one)]:
        lines += ["", "As memory grows:", table(HEADER, growth)]
    lines += ["", f"Floors at the tight size: hit rate {FLOOR_HIT_POINTS:+.0f} points, "]
    lines[-1] += f"mean TTFT {FLOOR_TTFT_PERCENT:+.0f} %, throughput {FLOOR_THROUGHPUT_PERCENT:+.0f} %."
    for one in told:
        lines += _judged(one)
    lines.append("PASSED" if passed(told) else "MISSED")
    return "\n".join(lines)


def _rows(told: Comparison) -> list[list[str]]:
    """Means of both systems and the change with its spread over the repetitions."""
    rows: list[list[str]] = []
    for side in SIDES:
        times = [milliseconds(told.mean(side, f"ttft_{name}_s")) for name in ("mean", "p50", "p95")]
        rate, speed = points(told.mean(side, "hit_rate")), f"{told.mean(side, 'requests_per_s'):.2f}"
        rows.append([f"{told.name} {side}", f"{told.kv_tokens:,}", rate, points(told.bound), *times, speed])
    hits, ttft, speed = (told.spread(name) for name in ("hit_points", "ttft_percent", "throughput_percent"))
    room = f"{told.spread('room_points')[0]:+.1f}"
    cells = [f"{ttft[0]:+.1f} % ±{ttft[1]:.1f}", "", "", f"{speed[0]:+.1f} % ±{speed[1]:.1f}"]
    rows.append([f"  change, n={len(told.repetitions)}", "", f"{hits[0]:+.1f} ±{hits[1]:.1f}", room, *cells])
    return rows


def _judged(told: Comparison) -> list[str]:
    verdict = judge(told)
    where = f"{told.name} at {told.kv_tokens:,}"
    lines = [f"{where}: missed: {missed}" for missed in verdict.missed]
    lines += [f"{where}: doubtful: {fault}" for fault in verdict.faults]
    if told.tight and told.repetitions and verdict.room_points < ROOM_POINTS:
        lines.append(f"{where}: the bound is only {verdict.room_points:+.1f} points above SGLang's own cache")
    return lines
