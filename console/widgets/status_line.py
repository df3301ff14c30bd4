"""The lines that are always there: which screens exist, and how the daemon, the engine and the cache are."""

from __future__ import annotations

from textual.content import Content

from ..blindness import unseen_since
from ..cache_map import held_tokens
from ..fleet_state import FleetState, NodeState
from ..rates import rates, run_hit_rate
from ..words import bar, clip, clock, ratio, seconds, short, start_words
from .panel import Panel

ENGINE_WORDS = {
    "starting": "engine starting",
    "ready": "engine ready",
    "restarting": "engine restarting",
    "failed": "engine failed",
    "stopped": "engine stopped",
    "offline": "daemon away",
}

GAUGE, LEAST_GAUGE = 10, 3
"""Cells of the gauge of the pool: with room for all, and below which it says nothing."""


def connection_words(fleet: FleetState, entry: NodeState | None) -> tuple[str, bool]:
    """Whether what is on screen is live, in words with its sign, and whether it is."""
    if fleet.over:
        return f"○ {fleet.why_lost}; what was seen stays on screen", False
    if not fleet.connected:
        why = f" ({fleet.why_lost})" if fleet.why_lost else ""
        if not fleet.ever_connected:
            return f"○ no connection yet{why}, trying", False
        return f"○ lost {seconds(fleet.lost_s)} ago{why}, retrying; what was seen stays on screen", False
    if entry is None:
        return "● connected, no daemon heard yet", True
    if not entry.online:
        return f"○ {entry.node} offline; what was seen stays on screen", False
    if fleet.is_silent(entry):
        return f"○ {entry.node} not heard for {seconds(fleet.silent_s(entry))}; what was seen stays on screen", False
    return f"● {entry.node} up", True


def engine_words(entry: NodeState, *, replayed: bool) -> str:
    """The engine's state; in a replay as the events tell it."""
    if replayed:
        up, detail = entry.run.engine_up, entry.run.engine_detail
        return "engine ready" if up else f"engine away{f': {detail}' if detail else ''}"
    if entry.status is None:
        return "engine unknown"
    detail = entry.status.detail if entry.status.state != "ready" else ""
    return ENGINE_WORDS[entry.status.state] + (f": {detail}" if detail else "")


def policy_words(entry: NodeState) -> str:
    """The policies that are on, without the operator, who always is. While the engine's observer is broken none of them
    is asked what to evict."""
    if entry.run.blind:
        return "SGLang's own order"
    on = [name for name, enabled in entry.run.policies.items() if enabled and name != "operator"]
    return ", ".join(on) or "lru"


class StatusLine(Panel):
    """Two lines; what does not fit is cut at the end, so the most important comes first."""

    def show(
        self, fleet: FleetState, entry: NodeState | None, *, replay: str = "", read_only: bool = False, why: str = ""
    ) -> None:
        """Say how things are now. `replay`: position and speed in words, empty for a live run; `why`: what is recorded
        with every order, so always in sight."""
        width = max(20, self.size.width - 2)
        words, live = connection_words(fleet, entry)
        if replay and live:
            words = f"■ {entry.node if entry else ''} recorded"
        heard = entry is None or not fleet.is_silent(entry)
        engine = engine_words(entry, replayed=bool(replay)) if entry is not None and heard else ""
        tail = "" if entry is None else self._who(entry, engine, read_only=read_only and not replay, why=why)
        first = Content.assemble((clip(words, width), "$success bold" if live else "$warning bold"))
        if tail and len(words) + 2 < width:
            first = Content.assemble(first, "  ", clip(tail, width - len(words) - 2))
        head = Content.assemble((replay, "$accent bold"), "  ") if replay else Content()
        room = max(0, width - len(head))
        self.update(Content.assemble(first, "\n", head, clip(self._second(fleet, entry, room), room)))

    def _second(self, fleet: FleetState, entry: NodeState | None, width: int) -> str:
        """How the daemon does; without one what to do."""
        if entry is not None:
            return self._how(fleet, entry, width)
        if not fleet.connected:
            return ""
        start = start_words()
        either = f"{start}, or replay a recording"
        return either if len(either) <= width else start

    def _who(self, entry: NodeState, engine: str, *, read_only: bool, why: str) -> str:
        run = entry.run
        model = run.model or (entry.status.model if entry.status else "")
        run_id = entry.run_id or (entry.status.run if entry.status else "")
        facts = [
            f"why: {clip(why, 24)}" if why else "",
            engine,
            f"cache {unseen_since(run)}" if run.blind else "",
            f"1 of {run.replicas} replicas seen" if run.replicas > 1 else "",
            f"policy {policy_words(entry)}",
            model.rstrip("/").rpartition("/")[2],
            f"run {run_id}" if run_id else "",
            "read-only" if read_only else "",
        ]
        return "  ".join(fact for fact in facts if fact)

    def _how(self, fleet: FleetState, entry: NodeState, width: int) -> str:
        """Numbers, with a gauge of the pool in what is left of the line. Where they do not fit they are said shorter,
        then less of them: what runs and waits is not cut."""
        run = entry.run
        now = rates(run, fleet.now_ns(entry))
        held = held_tokens(run)
        kv = f"{short(held)}/{short(run.capacity_tokens)} {ratio(held, run.capacity_tokens)}"
        hit = f"  hit {'-' if now.hit_rate is None else ratio(now.hit_rate, 1)}"
        whole, pace = f", {ratio(run_hit_rate(run) or 0.0, 1)} run", f"  {now.requests_per_s:.1f} req/s"
        words = f"{kv}{hit} now{whole}{pace}  {run.running} running {run.waiting} waiting"
        if len(words) + LEAST_GAUGE + len("KV  ") > width:
            asked = f"  run+wait {run.running}+{run.waiting}"
            facts = (f"{hit} now{whole}{pace}", f"{hit} now{pace}", f"{hit} now", hit, "")
            words = next((found for one in facts if len(found := kv + one + asked) + len("KV ") <= width), kv + asked)
        room = min(GAUGE, width - len(words) - len("KV  "))
        share = held / run.capacity_tokens if run.capacity_tokens > 0 else 0.0
        return f"KV {bar(share, room)} {words}" if room >= LEAST_GAUGE else f"KV {words}"


def replay_words(position_ns: int, first_ns: int, last_ns: int, speed: float, *, playing: bool) -> str:
    """'▶ 2x 0:03.2 / 10:00.0'."""
    sign = "▶" if playing else "‖"
    place = f"{clock((position_ns - first_ns) / 1e9)} / {clock((last_ns - first_ns) / 1e9)}"
    return f"{sign} {speed:g}x {place}"
