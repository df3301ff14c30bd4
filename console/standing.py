"""How every daemon of a broker stands at one moment, for `radixdeck status`: a table for people, rows for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from radixdeck.daemon.wire import Metrics, PoliciesTable, Status
from radixdeck.policies.residency import RunState
from radixdeck.policies.tree.sight import why_blind

from .cache_map import held_tokens
from .words import brief, printable, ratio, short

HEADS = ("daemon", "engine", "hit", "TTFT p50/p95", "KV tokens", "run+wait", "up", "policies", "fault")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One daemon. `serving`: its engine is ready and it answered; `fault`: what is wrong, else what last was, '' if
    nothing is known. Rates are of the last 10 s, None where nobody asked; what a daemon did not tell is 0."""

    node: str
    state: str
    serving: bool
    policies: list[str] = []
    hit_rate: float | None = None
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    resident_tokens: int = 0
    capacity_tokens: int = 0
    running: int = 0
    waiting: int = 0
    uptime_s: float = 0.0
    engine_restarts: int = 0
    fault: str = ""
    model: str = ""
    version: str = ""


def standing_of(status: Status, table: PoliciesTable | None, metrics: Metrics | None, run: RunState | None) -> Standing:
    """What a daemon's last messages come to; without `metrics` it said nothing of itself when it was asked."""
    state = status.state if status.online else "offline"
    policies = table.policies if table else []
    now = metrics or Metrics(t_ns=0)
    restarts = max(0, run.totals.engine_starts - 1) if run else 0
    failed = [f"policy {one.name} failed: {one.failed}" for one in policies if one.failed]
    asked = now.requests_per_s > 0
    return Standing(
        node=status.node, state=state, serving=state == "ready" and metrics is not None,
        policies=[one.name for one in policies if one.enabled and one.name != "operator"],
        hit_rate=now.hit_rate if asked else None,
        ttft_p50_s=now.ttft_p50_s if asked else None, ttft_p95_s=now.ttft_p95_s if asked else None,
        resident_tokens=held_tokens(run) if run else now.used_tokens, capacity_tokens=now.capacity_tokens,
        running=now.running, waiting=now.waiting,
        uptime_s=max(0.0, (now.t_ns - status.started_ns) / 1e9) if metrics and status.started_ns else 0.0,
        engine_restarts=restarts, fault=_fault(status, metrics, failed, restarts),
        model=status.model, version=status.version,
    )  # fmt: skip


def _fault(status: Status, metrics: Metrics | None, failed: Sequence[str], restarts: int) -> str:
    """The worst first."""
    if not status.online or status.state != "ready":
        return status.detail
    if metrics is None:
        return "says nothing of itself"
    if metrics.recorder_failed:
        return f"recording stopped: {metrics.recorder_failed}"
    if metrics.blind:
        return f"nothing of the cache is seen: {why_blind(metrics.blind)}"
    if more := besides(status):
        return more
    if failed:
        return "; ".join(failed)
    if metrics.events_dropped:
        return f"{metrics.events_dropped:,} events dropped"
    return f"engine restarted {restarts} time{'s' if restarts > 1 else ''}" if restarts else ""


def besides(status: Status) -> str:
    """What is wrong with a daemon whose engine is ready: it says so behind that."""
    return status.detail.partition("; ")[2]


def standings(
    statuses: Mapping[str, Status], tables: Mapping[str, PoliciesTable], metrics: Mapping[str, Metrics],
    runs: Mapping[str, RunState],
) -> list[Standing]:  # fmt: skip
    """Every daemon that is known, by name."""
    return [
        standing_of(statuses[node], tables.get(node), metrics.get(node), runs.get(node)) for node in sorted(statuses)
    ]


def rows(found: Sequence[Standing]) -> Iterator[str]:
    """One JSON object per daemon."""
    for one in found:
        yield msgspec.json.encode(one).decode()


def lines(found: Sequence[Standing]) -> Iterator[str]:
    """A table; the last column, which is in words, is as long as it is."""
    table = [HEADS, *map(_cells, found)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS) - 1)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _cells(one: Standing) -> tuple[str, ...]:
    def times() -> str:
        if one.ttft_p50_s is None or one.ttft_p95_s is None:
            return "-"
        return f"{brief(one.ttft_p50_s)}/{brief(one.ttft_p95_s)}"

    held = (
        f"{short(one.resident_tokens)}/{short(one.capacity_tokens)} {ratio(one.resident_tokens, one.capacity_tokens)}"
    )
    cells = (
        one.node, one.state, "-" if one.hit_rate is None else ratio(one.hit_rate, 1), times(),
        held if one.capacity_tokens else "-", f"{one.running}+{one.waiting}",
        brief(one.uptime_s) if one.uptime_s else "-",
        ",".join(one.policies) or "-", one.fault or "-",
    )  # fmt: skip
    return tuple(map(printable, cells))
