"""Mode 1: one line per daemon, and how the one looked at is doing."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from radixdeck.policies.residency import Totals

from ..cache_map import held_tokens
from ..event_log import newest
from ..fleet_state import FleetState, NodeState
from ..matrix import shares
from ..rates import hit_series, rates, run_hit_rate
from ..trends import recent_blame, trouble, trouble_words
from ..widgets.panel import Panel
from ..widgets.status_line import engine_words, policy_words
from ..widgets.table import Cell, Column, SyncTable
from ..words import clip, command_line, plain, ratio, seconds, short, spark, time_of_day, tokens
from .base import DeckScreen

COLUMNS = (
    Column("", 1),
    Column("daemon", 16),
    Column("engine", 0),
    Column("KV used", 16, right=True),
    Column("hit", 5, right=True),
    Column("req/s", 6, right=True),
    Column("run+wait", 9, right=True, least=90),
    Column("policy", 14, least=76),
    Column("hurt", 6, right=True, least=110),
    Column("model", 22, least=120),
    Column("heard", 9, right=True, least=140),
)
SERIES_BUCKET_S = 2.0


def fleet_row(fleet: FleetState, entry: NodeState, *, replayed: bool) -> list[Cell]:
    """One daemon in the order of COLUMNS."""
    run, held = entry.run, held_tokens(entry.run)
    now = rates(run, fleet.now_ns(entry))
    up = fleet.connected and entry.online
    return [
        Text("●" if up else "○", style="green" if up else "yellow"),
        entry.node,
        "recorded" if replayed else engine_words(entry, replayed=False) if entry.online else "daemon away",
        f"{short(held)}/{short(run.capacity_tokens)} {ratio(held, run.capacity_tokens)}",
        "-" if now.hit_rate is None else ratio(now.hit_rate, 1),
        f"{now.requests_per_s:.1f}",
        f"{run.running}+{run.waiting}",
        policy_words(entry),
        f"{run.totals.evictions_that_hurt:,}",
        (run.model or (entry.status.model if entry.status else "")).rstrip("/").rpartition("/")[2],
        "-" if replayed else f"{seconds(fleet.silent_s(entry))}",
    ]


def totals_words(totals: Totals, unknown: int) -> list[tuple[str, str]]:
    """The run so far: name and value. `unknown`: events of kinds that this version does not know."""
    return [
        ("requests", f"{totals.requests:,}, {totals.refused:,} refused"),
        ("prompt", f"{tokens(totals.prompt_tokens)}, {tokens(totals.cached_tokens)} of them cached"),
        ("evicted", f"{totals.evictions:,} nodes, {tokens(totals.evicted_tokens)}"),
        ("that hurt", f"{totals.evictions_that_hurt:,} nodes, {tokens(totals.hurt_tokens)} computed again"),
        ("warmed", f"{totals.warmups:,} times, {tokens(totals.warm_tokens)}"),
        ("missing", f"{totals.dropped_events:,} events dropped, {unknown:,} not known, {totals.oddities:,} odd"),
    ]


class DaemonsTable(SyncTable):
    """Enter looks at the daemon under the cursor."""

    BINDINGS = [Binding("enter", "select_cursor", "look at", tooltip="show this daemon on every screen")]


class FleetScreen(DeckScreen):
    """Which daemons are there; enter looks at one; below, its run and its last events."""

    mode = "fleet"
    help_text = (
        "One line per daemon heard on the broker. Enter makes it the one that every other screen shows. hit, req/s and "
        "the line of blocks are of the last seconds; hurt counts evictions whose tokens had to be computed again."
    )

    def body(self) -> Iterable[Widget]:
        yield DaemonsTable(COLUMNS, id="daemons")
        yield Panel(id="fleet-verdict", markup=False)
        with Horizontal(id="fleet-low"):
            with Vertical(id="fleet-facts"):
                yield Panel(id="run-facts")
                yield Panel(id="shares")
            yield Panel(id="latest")

    def draw_state(self, *, tables: bool) -> None:
        super().draw_state(tables=tables)
        if tables:
            fleet, replayed = self.deck.fleet, self.deck.replay is not None
            table = self.query_one("#daemons", SyncTable)
            nodes = sorted(fleet.nodes.items())
            table.sync([(node, fleet_row(fleet, entry, replayed=replayed)) for node, entry in nodes])
            table.border_title = f"{len(fleet.nodes)} daemon{'s' * (len(fleet.nodes) != 1)}"
            if not fleet.nodes:
                words = f"no daemon heard yet; start one with: {command_line('serve')}"
                self.query_one("#run-facts", Static).update(words)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if tables:
            self._show_verdict(entry)
            self._show_facts(entry)
            self._show_latest(entry)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        self.deck.look_at(str(event.row_key.value))

    def _show_verdict(self, entry: NodeState) -> None:
        """Who is worse off than usual, if anybody is, and where to read on."""
        found = trouble(entry.run, self.deck.fleet.now_ns(entry))
        panel = self.query_one("#fleet-verdict", Static)
        panel.display = bool(found)
        if found:
            worst = found[0]
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            panel.update(f"! {trouble_words(worst, recent_blame(entry.run, worst.agent))}{more}; 7 shows who did what")

    def _show_facts(self, entry: NodeState) -> None:
        panel = self.query_one("#run-facts", Static)
        panel.border_title = plain(entry.node)
        width = max(10, panel.content_size.width)
        now_ns = self.deck.fleet.now_ns(entry)
        series = [0.0 if value is None else max(0.02, value) for value in
                  hit_series(entry.run, now_ns, min(60, width), SERIES_BUCKET_S)]  # fmt: skip
        rows = [("hit rate", f"{ratio(run_hit_rate(entry.run) or 0.0, 1)} since the run began"),
                *totals_words(entry.run.totals, entry.unknown_events)]  # fmt: skip
        if entry.status is not None:
            rows += [("endpoint", entry.status.endpoint), ("recording", entry.status.recording)]
        lines = [Content.assemble((f"{name:<10}", "$text-muted"), value) for name, value in rows if value]
        head = Content.assemble((spark(series, top=1.0), "$secondary"))
        note = Content.styled(f"hit rate, last {len(series) * SERIES_BUCKET_S:.0f} s", "$text-muted")
        panel.update(Content("\n").join([head, note, *lines]))
        held = self.query_one("#shares", Static)
        held.border_title = "resident tokens"
        held.update(shares(entry.run, entry.marks, held.content_size.width))

    def _show_latest(self, entry: NodeState) -> None:
        panel = self.query_one("#latest", Static)
        panel.border_title = "latest"
        width, height = panel.content_size
        lines = newest(entry.log, max(1, height))
        shown = [
            Content.assemble((f"{time_of_day(line.t_ns)} ", "$text-muted"), clip(line.text, max(10, width - 11)))
            for line in reversed(lines)
        ]
        panel.update(Content("\n").join(shown) if shown else "nothing has happened yet")
