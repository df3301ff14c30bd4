"""What stays of the benchmark: its record, its line of history, and two pictures; and how older records are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .arms import Arms
from .picture import draw_lines, draw_repetitions
from .report import Record, machine, now_utc, save
from .verdicts import passed
from .versus import SIDES, Comparison, Repetition, Side, judge

NAMES: dict[Side, str] = {"sglang": "SGLang's own cache", "radixdeck": "radixdeck"}


class RecordError(ValueError):
    """A file is no record of this benchmark. The message names it."""


def write(arms: Arms, seeds: Sequence[int], told: Sequence[Comparison], folder: Path, *, quick: bool) -> Path:
    """Record, history and pictures. Returns the record's path."""
    settings: dict[str, Any] = msgspec.to_builtins(arms)
    settings.pop("home")
    settings |= {"seeds": list(seeds), "quick": quick, "model": Path(arms.model).name}
    verdicts = {f"{one.name} at {one.kv_tokens}": msgspec.to_builtins(judge(one)) for one in told}
    record = Record(
        kind="bench", at=now_utc(), machine=machine(), settings=settings,
        results={"workloads": msgspec.to_builtins(list(told))},
        verdict={"workloads": verdicts, "passed": passed(told)},
    )  # fmt: skip
    path = save(record, folder)
    tight = [one for one in told if one.tight and one.repetitions]
    if tight:
        _draw_tight(path.with_suffix(".png"), tight)
    if any(not one.tight and one.repetitions for one in told):
        _draw_growth(path.with_name(f"{path.stem}-memory.png"), [one for one in told if one.repetitions])
    return path


def _draw_tight(path: Path, told: Sequence[Comparison]) -> None:
    measures = {
        "hit rate, %": ("hit_rate", 100.0), "mean time to first token, ms": ("ttft_mean_s", 1000.0),
        "requests per second": ("requests_per_s", 1.0),
    }  # fmt: skip
    panels = {
        title: {NAMES[side]: [scale * one.mean(side, field) for one in told] for side in SIDES}
        for title, (field, scale) in measures.items()
    }
    labels = [f"{one.name}\n{one.kv_tokens:,}" for one in told]
    bounds = {"hit rate, %": [100 * one.bound for one in told]}
    title = f"Means of {max(len(one.repetitions) for one in told)} runs; below each workload its KV tokens"
    draw_repetitions(path, title, labels, panels, bounds)


def _draw_growth(path: Path, told: Sequence[Comparison]) -> None:
    """Hit rate over KV memory, a panel per workload; of the tight size only the seed that the others have."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for one in told:
        first = one.repetitions[0]
        curves = panels.setdefault(one.name, {name: [] for name in (*NAMES.values(), "Belady's bound")})
        rates = {NAMES[side]: first.side(side).hit_rate for side in SIDES} | {"Belady's bound": first.bound.hit_rate}
        for name, rate in rates.items():
            curves[name].append((one.kv_tokens, 100 * rate))
    draw_lines(path, "Hit rate as memory grows", panels, "KV tokens", "hit rate, %")


def read(path: Path) -> list[Comparison]:
    """What a record of this benchmark says, also one from before workloads had names. Raises RecordError or OSError."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        if "workloads" in record.results:
            return msgspec.convert(record.results["workloads"], list[Comparison])
        return [_unnamed(record)]
    except (msgspec.DecodeError, KeyError) as error:
        raise RecordError(f"{path.name}: not a record of the benchmark: {error}") from error


def _unnamed(record: Record) -> Comparison:
    workload: dict[str, Any] = record.settings["workload"]
    name = workload.get("logs") or f"{workload['topology']}, {workload['agents']} agents"
    repetitions = msgspec.convert(record.results["repetitions"], list[Repetition])
    kv_tokens: int = record.settings["kv_tokens"]
    return Comparison(name=name, kv_tokens=kv_tokens, tight=True, workload=workload, repetitions=repetitions)
