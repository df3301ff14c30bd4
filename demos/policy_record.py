"""What stays of a policy's bench: its record with the verdict, a line of history, and a picture; and reading it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .bench_record import RecordError
from .picture import draw_repetitions
from .policy_case import PolicyCase
from .policy_verdict import Told, judge, passed
from .report import Record, machine, now_utc, save

KIND = "policy_"
"""Records are of the kind `policy_<name>`."""


def write(
    policy: str, settings: dict[str, Any], cases: Sequence[PolicyCase], told: Sequence[Told], folder: Path
) -> Path:
    """Record, history and picture. Returns the record's path."""
    record = Record(
        kind=KIND + policy, at=now_utc(), machine=machine(),
        settings=settings | {"policy": policy, "cases": {case.name: settings_of(case) for case in cases}},
        results={"cases": msgspec.to_builtins(list(told))},
        verdict={"cases": {one.case: msgspec.to_builtins(judge(one)) for one in told}, "passed": passed(told)},
    )  # fmt: skip
    path = save(record, folder)
    if done := [one for one in told if one.pairs]:
        _draw(path.with_suffix(".png"), policy, done)
    return path


def settings_of(case: PolicyCase) -> dict[str, Any]:
    """What of a case is data and not in its results."""
    return {
        "requests": case.requests, "sessions": case.sessions, "kv_tokens": case.kv_tokens, "tunables": case.tunables,
        "rules": case.rules, "beside": list(case.beside), "together": list(case.together),
        "sglang_args": list(case.sglang_args), "arrivals": case.arrivals,
        **({"second": True} if case.second else {}), **({"tool_s": case.tool_s} if case.tool_s else {}),
    }  # fmt: skip


def _draw(path: Path, policy: str, told: Sequence[Told]) -> None:
    """A panel for each measure that all cases have: bars off and on."""
    shared = [(measure, unit) for measure, unit in told[0].units.items() if all(measure in one.units for one in told)]
    panels = {
        f"{measure}, {unit}": {
            word: [one.mean(measure, on=on) for one in told] for word, on in (("off", False), ("on", True))
        }
        for measure, unit in shared
    }
    labels = [one.case.replace(", ", "\n") for one in told]
    title = f"Policy {policy}, off and on: means of {max(len(one.pairs) for one in told)} runs"
    draw_repetitions(path, title, labels, panels, {})


def read(path: Path) -> tuple[Record, list[Told]]:
    """A record of this bench. Raises RecordError or OSError."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        if not record.kind.startswith(KIND):
            raise RecordError(f"{path.name}: not a record of a policy's bench but of {record.kind}")
        return record, msgspec.convert(record.results["cases"], list[Told])
    except (msgspec.DecodeError, KeyError) as error:
        raise RecordError(f"{path.name}: not a record of a policy's bench: {error}") from error
