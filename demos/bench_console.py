"""`python -m radixdeck.demos.bench_console`: what the console costs and how fast it is, in a real terminal of 200x60.

Each screen runs on its own, then with a shadow, the curve and what-ifs running beside it. A recording of a million
events is made in a temporary folder, opened, and sought at random moments.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bench_console_beside import SHOWN, write_run
from .bench_console_child import Task, bounds
from .bench_console_picture import draw
from .bench_console_run import COLUMNS, ROWS, BenchError, measure, run_screen
from .bench_recording import read_recording, write_recording
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save, table
from .soak import beyond, growth

SCREENS = ("residency", "agents", "events", "requests", "harm", *SHOWN)
FLOORS = {"cpu_percent": 25.0, "frame_p95_ms": 50.0, "key_p95_ms": 100.0, "event_p95_ms": 150.0}
QUIET_PERCENT = 20.0
"""Where others take more of the machine than this, times by the wall clock are theirs too."""
OPEN_FLOOR_S, SEEK_FLOOR_S = 2.0, 0.1
FLAT_MB_PER_HOUR = 10.0
"""Memory is flat if its growth, at the upper end of its 95 % confidence, stays below this."""


def soak(seconds: float, per_s: int, nodes: int, folder: Path) -> tuple[dict[str, Any], list[float]]:
    """The residency screen for long: how memory grew, with its confidence, and whether what lives stayed bounded. Also
    the resident megabytes, one a second."""
    notes, _ = run_screen(Task("residency", seconds, per_s, nodes, str(folder / "soak.json")))
    rss_mb = [size / 1e6 for size in notes.rss_bytes]
    found = growth(rss_mb, notes.wall_s / max(1, len(rss_mb)))
    result = {
        "minutes": round(notes.wall_s / 60, 1),
        "cpu_percent": round(100 * notes.cpu_s / notes.wall_s, 1),
        "events": notes.folded,
        "frames": notes.frames,
        "rss_mb": round(found.level, 1),
        "mb_per_hour": round(found.per_hour, 2),
        "mb_per_hour_plus_minus": round(found.plus_minus, 2) if math.isfinite(found.plus_minus) else None,
        "mb_per_hour_at_most": round(found.at_most, 2) if math.isfinite(found.plus_minus) else None,
        "live_at_the_end": notes.live,
        "beyond_bounds": beyond([notes.most_live], bounds(nodes)),
    }
    return result, rss_mb


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write a record. Exit codes: 0 floors met, 1 one missed, 2 it could not be measured."""
    told = _parse(arguments)
    progress = Progress()
    results: dict[str, Any] = {}
    rss_mb: list[float] = []
    try:
        with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
            for number, screen in enumerate(told.screens, 1):
                progress.say(f"{number} of {len(told.screens)}, {screen}: {told.seconds:g} s, {told.per_s} events/s, "
                             f"{told.nodes} nodes")  # fmt: skip
                results[screen] = measure(_task(screen, told, Path(folder)))
                progress.say(_line(results[screen]))
            if told.events:
                results["recording"] = _recording(Path(folder) / "long.db", told.events, told.nodes, progress)
            if told.soak:
                progress.say(f"soak: residency for {told.soak:g} s")
                results["soak"], rss_mb = soak(told.soak, told.per_s, told.nodes, Path(folder))
    except (BenchError, OSError) as error:
        progress.say(f"bench_console: {error}")
        return 2
    settings = {"columns": COLUMNS, "rows": ROWS, "seconds": told.seconds, "per_s": told.per_s, "nodes": told.nodes,
                "soak_s": told.soak}  # fmt: skip
    record = Record(kind="console", at=now_utc(), machine=machine(), settings=settings, results=results,
                    verdict=verdict(results))  # fmt: skip
    path = save(record, told.out)
    progress.say(f"record {path}")
    progress.say(_picture(path.with_suffix(".png"), results, rss_mb))
    print(report(results))
    print(judgement(record.verdict))
    if _screens(results):
        print(load_words(results))
    return 0 if all(record.verdict.values()) else 1


def _task(screen: str, told: argparse.Namespace, folder: Path) -> Task:
    """What runs beside has a recording of its own to run on."""
    recording = folder / "beside.db"
    if screen in SHOWN and not recording.exists():
        write_run(recording)
    notes = str(folder / f"{screen}.json")
    return Task(screen, told.seconds, told.per_s, told.nodes, notes, str(recording) if screen in SHOWN else "")


def _line(found: dict[str, Any]) -> str:
    told = [*FLOORS, "loop_cpu_percent", "slice_cpu_max_ms", "others_percent"]
    return "  " + ", ".join(f"{name} {found[name]:g}" for name in told)


def _recording(path: Path, events: int, nodes: int, progress: Progress) -> dict[str, Any]:
    progress.say(f"a recording of {events:,} events")
    begun_s = time.monotonic()

    def said(made: int) -> None:
        progress.say(f"  {made:,} events after {time.monotonic() - begun_s:.0f} s")

    asyncio.run(write_recording(path, events, nodes, said))
    return {**read_recording(path), "megabytes": round(path.stat().st_size / 1e6, 1)}


def _picture(path: Path, results: dict[str, Any], rss_mb: list[float]) -> str:
    """Draw it if matplotlib is there; what became of it."""
    screens = _screens(results)
    if not screens and not rss_mb:
        return "no picture: nothing to draw"
    try:
        draw(path, screens, FLOORS, rss_mb)
    except ImportError:
        return "no picture: matplotlib is not installed"
    return f"picture {path}"


def _screens(results: dict[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in results.items() if name not in ("recording", "soak")}


def verdict(results: dict[str, Any]) -> dict[str, Any]:
    """Which floors were met, by the worst screen; of what was not measured nothing is said."""
    screens = _screens(results)
    met: dict[str, Any] = {}
    if screens:
        met |= {name: all(found[name] < floor for found in screens.values()) for name, floor in FLOORS.items()}
        met["no_key_lost"] = not any(found["keys_lost"] for found in screens.values())
    if recording := results.get("recording"):
        met["open_s"] = recording["open_s"] < OPEN_FLOOR_S
        met["seek_max_ms"] = recording["seek_max_ms"] < 1000 * SEEK_FLOOR_S
    if soaked := results.get("soak"):
        at_most = soaked["mb_per_hour_at_most"]
        met["memory_flat"] = at_most is not None and at_most < FLAT_MB_PER_HOUR and not soaked["beyond_bounds"]
    return met


def load_words(results: dict[str, Any]) -> str:
    """How far the wall clock can be believed."""
    busiest = max((found["others_percent"] for found in _screens(results).values()), default=0.0)
    told = f"others took up to {busiest:g} % of the machine while a screen was measured"
    if busiest <= QUIET_PERCENT:
        return told
    return f"{told}: times to screen are longer than on a quiet one; what does not depend on it are cpu and slices"


def judgement(met: dict[str, Any]) -> str:
    """The verdict in one line."""
    missed = [name for name, true in met.items() if not true]
    return f"verdict: {len(met) - len(missed)} of {len(met)} floors met" + (f"; missed {', '.join(missed)}" if missed
                                                                            else "")  # fmt: skip


def report(results: dict[str, dict[str, Any]]) -> str:
    """Screens side by side with their floors, then the recording and the soak."""
    screens = _screens(results)
    names = list(next(iter(screens.values()))) if screens else []
    rows = [[name, *(f"{found[name]:g}" for found in screens.values()), f"{FLOORS.get(name, ''):}"] for name in names]
    text = table(["", *screens, "floor"], rows) if screens else ""
    for name in ("recording", "soak"):
        if found := results.get(name):
            text += f"\n\n{name}: " + ", ".join(f"{key} {value}" for key, value in found.items())
    return text


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_console", description=__doc__)
    parser.add_argument("--seconds", type=float, default=25.0, help="for each screen [%(default)s]")
    parser.add_argument("--per-s", type=int, default=500, help="events a second [%(default)s]")
    parser.add_argument("--nodes", type=int, default=2_000, help="resident [%(default)s]")
    parser.add_argument("--screens", nargs="*", default=list(SCREENS), help="which [all of %(default)s]")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the recording, 0 for none [%(default)s]")
    parser.add_argument("--soak", type=float, default=0.0, help="seconds, 0 for none; 600 for a verdict [%(default)s]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the record [%(default)s]")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
