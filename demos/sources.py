"""Where requests come from: a generated workload, or recorded conversations and traces on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from .logs import read_logs
from .mooncake import read_mooncake
from .workloads import Turn, WorkloadSpec, generate


def load(spec: WorkloadSpec, logs: Path | None, complain: Callable[[str], None]) -> list[Turn]:
    """At most `spec.requests` turns: of `logs` if given (*.jsonl is a Mooncake trace, anything else Who&When files),
    else generated. Raises WorkloadError."""
    if logs is None:
        return generate(spec)
    if logs.suffix == ".jsonl":
        return read_mooncake(logs, requests=spec.requests)
    return read_logs(logs, complain, live=spec.sessions)[: spec.requests]


def describe(spec: WorkloadSpec, logs: Path | None) -> dict[str, Any]:
    """What a record says of where its requests came from; of a path only its name."""
    if logs is not None:
        return {"logs": logs.name, "requests": spec.requests, "sessions": spec.sessions}
    return msgspec.to_builtins(spec)
