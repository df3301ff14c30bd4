"""The tables of a recording, as numbered migrations. `events` is the truth; the rest is derived for people to query."""

from __future__ import annotations

from sqlite_utils import Database, Migrations
from sqlite_utils.db import Table

from .files import APPLICATION_ID

migrations = Migrations("radixdeck")

AGENT_HITS = """
    SELECT agent, count(*) AS requests, sum(prompt_tokens) AS prompt_tokens, sum(cached_tokens) AS cached_tokens,
           round(1.0 * sum(cached_tokens) / max(1, sum(prompt_tokens)), 4) AS hit_rate,
           round(avg(ttft_s), 4) AS ttft_mean_s
    FROM requests WHERE warm = 0 AND matched_ns IS NOT NULL GROUP BY agent ORDER BY agent"""

EVICTION_BLAME = """
    SELECT agents, by_agent, cause, role, count(*) AS evictions, sum(tokens) AS tokens
    FROM decisions GROUP BY agents, by_agent, cause, role ORDER BY tokens DESC"""


def migrate(db: Database) -> None:
    """Bring a new or older recording up to the present schema, each step in one transaction with its own record."""
    migrations.apply(db)


def _table(db: Database, name: str, pk: str, columns: dict[str, type], not_null: set[str]) -> Table:
    return db.table(name).create(columns, pk=pk, not_null=not_null, strict=True)


@migrations()
def m001_recording(db: Database) -> None:
    """Runs, events and keyframes, and what is derived from the events."""
    _truth(db)
    _about_requests(db)
    _about_control(db)
    db.create_view("agent_hits", AGENT_HITS)
    db.create_view("eviction_blame", EVICTION_BLAME)
    db.conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.conn.execute("PRAGMA user_version = 1")


def _truth(db: Database) -> None:
    run = {"run": str, "node": str, "started_ns": int, "ended_ns": int, "version": str, "model": str}
    run |= {"config": str, "prompts_stored": int, "pid": int, "pid_started_s": float, "ended_why": str}
    run |= {"pid_start": str}  # not in recordings of earlier versions; see process_start
    _table(db, "runs", "run", run, {"node", "started_ns", "version"})
    event = {"seq": int, "at_ns": int, "kind": str, "agent": str, "session": str, "rid": str, "body": str}
    _table(db, "events", "seq", event, {"at_ns", "kind", "body"}).create_index(["kind"])
    _table(db, "keyframes", "seq", {"seq": int, "at_ns": int, "state": bytes}, {"at_ns", "state"})


def _about_requests(db: Database) -> None:
    agent = {"agent": str, "label": str, "fingerprint": str, "declared": int, "versions": int, "claimants": int}
    _table(db, "agents", "agent", agent | {"anchor_tokens": int, "first_ns": int, "last_ns": int}, set())
    session = {"session": str, "tenant": str, "first_ns": int, "last_ns": int, "ended_ns": int, "ended_why": str}
    _table(db, "sessions", "session", session, set())
    request = {"rid": str, "agent": str, "session": str, "tenant": str, "route": str, "arrived_ns": int}
    request |= {"matched_ns": int, "finished_ns": int, "prompt_tokens": int, "cached_tokens": int}
    request |= {"anchor_tokens": int, "output_tokens": int, "ttft_s": float, "latency_s": float, "status": int}
    table = _table(db, "requests", "rid", request | {"finish": str, "reason": str, "warm": int}, set())
    table.create_index(["agent"])
    table.create_index(["session"])


def _about_control(db: Database) -> None:
    decision = {"seq": int, "at_ns": int, "node": int, "tokens": int, "start": int, "agents": str, "role": str}
    decision |= {"session": str, "cause": str, "by_rid": str, "by_agent": str, "score": float, "parts": str}
    decision |= {"idle_s": float, "instead": int, "instead_agent": str, "to_host": int}
    _table(db, "decisions", "seq", decision, {"at_ns"})
    command = {"seq": int, "at_ns": int, "id": str, "name": str, "by": str, "ok": int, "detail": str}
    _table(db, "commands", "seq", command | {"arguments": str}, {"at_ns"})
    tunable = {"seq": int, "at_ns": int, "policy": str, "name": str, "value": float, "by": str, "why": str}
    _table(db, "tunables", "seq", tunable, {"at_ns"})
