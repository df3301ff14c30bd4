"""Mode 1: one line per daemon, and how the one looked at is doing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, NamedTuple

from rich.text import Text
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from radixdeck.policies.residency import Totals

from ..agent_facts import name_of
from ..blindness import blind_words, unseen_since
from ..cache_map import held_tokens
from ..event_log import newest
from ..fleet_state import FleetState, NodeState
from ..identity_sentences import doubted_words
from ..matrix import shares
from ..rates import Rates, hit_series, rates, run_hit_rate
from ..standing import besides
from ..trends import Trouble, recent_blame, trouble, trouble_words
from ..widgets.filter_bar import FilterBar
from ..widgets.panel import Panel
from ..widgets.status_line import ENGINE_WORDS, policy_words
from ..widgets.table import Cell, Column, SyncTable, selected_key
from ..words import clip, count, plain, ratio, seconds, short, spark, start_words, time_of_day, tokens
from .filtering import FilteringScreen, filter_key
from .sorting import SortingScreen, sort_keys

COLUMNS = (
    Column("", 1),
    Column("daemon", 14),
    Column("engine", 10),
    Column("model", 14, least=94),
    Column("KV", 5, right=True),
    Column("hit", 5, right=True),
    Column("req/s", 5, right=True, least=71),
    Column("TTFT", 7, right=True, least=64),
    Column("worst off", 0),
    Column("run+wait", 8, right=True, least=112),
    Column("policy", 14, least=128),
    Column("KV tokens", 11, right=True, least=142),
    Column("hurt", 6, right=True, least=152),
    Column("heard", 9, right=True, least=164),
)
HEADERS = MappingProxyType(
    {
        "daemon": "name",
        "worst off": "what is worst off",
        "hit": "hit rate",
        "req/s": "requests",
        "TTFT": "time to first token",
    }
)
"""What a click on a column's header sorts by."""
SERIES_BUCKET_S = 2.0
MANY = 4
"""More daemons than this get more of the height."""
STATES = {"offline": "away"}


class Line(NamedTuple):
    """One daemon and what its row is sorted by. `alert`: what is wrong with it, '' if nothing is; `worse`: by how much,
    what is away or broken above all."""

    entry: NodeState
    now: Rates
    alert: str
    worse: float


SORTS: tuple[tuple[str, Callable[[Line], Any]], ...] = (
    ("name", lambda line: 0),
    ("what is worst off", lambda line: -line.worse),
    ("hit rate", lambda line: 2.0 if line.now.hit_rate is None else line.now.hit_rate),
    ("requests", lambda line: -line.now.requests_per_s),
    ("time to first token", lambda line: -(line.now.ttft_p50_s or 0.0)),
)


def line_of(fleet: FleetState, entry: NodeState, *, replayed: bool) -> Line:
    """How a daemon is now."""
    now_ns = fleet.now_ns(entry)
    now = rates(entry.run, now_ns)
    state = entry.status.state if entry.status else "offline"
    if entry.online and fleet.is_silent(entry):
        return Line(entry, now, f"not heard for {seconds(fleet.silent_s(entry))}", math.inf)
    if not replayed and (not entry.online or state != "ready"):
        known = entry.status.detail if entry.status else ""
        return Line(entry, now, known or ENGINE_WORDS[state if entry.online else "offline"], math.inf)
    if entry.run.blind:
        return Line(entry, now, f"cache {unseen_since(entry.run)}", math.inf)
    if beside := _beside(entry, replayed=replayed):
        return Line(entry, now, beside, math.inf)
    found = trouble(entry.run, now_ns)
    if not found:
        return Line(entry, now, "", 0.0)
    more = f"; {len(found) - 1} more" if len(found) > 1 else ""
    return Line(entry, now, f"{_brief(found[0])}{more}", found[0].worse)


def _beside(entry: NodeState, *, replayed: bool) -> str:
    return besides(entry.status) if entry.status and not replayed else ""


def _brief(one: Trouble) -> str:
    """'lawyer 800 ms, usually 60 ms'; what it finds in the cache where nobody waited measurably."""
    if one.ttft_s and one.usual_ttft_s:
        return f"{one.agent} {seconds(one.ttft_s)}, usually {seconds(one.usual_ttft_s)}"
    return f"{one.agent} {ratio(one.hit, 1)} cached, usually {ratio(one.usual_hit, 1)}"


def worst_words(line: Line) -> Text:
    """What is wrong; where nothing is, who was hurt most since the run began."""
    if line.alert:
        return Text(f"! {line.alert}", style="bold #e69f00")
    hurt = max(line.entry.run.agents.values(), key=lambda stats: stats.evictions_that_hurt, default=None)
    if hurt is None or not hurt.evictions_that_hurt:
        return Text("-", style="#7d8894")
    return Text(f"{name_of(hurt)}, {hurt.evictions_that_hurt:,} hurt", style="#7d8894")


def fleet_row(fleet: FleetState, line: Line, *, replayed: bool, shown: bool) -> list[Cell]:
    """One daemon in the order of COLUMNS. `shown`: the other screens show this one."""
    entry, now = line.entry, line.now
    run, held = entry.run, held_tokens(entry.run)
    live = fleet.is_live(entry)
    up = fleet.connected and live
    state = entry.status.state if entry.status and live else "offline"
    return [
        Text("●" if up else "○", style="green" if up else "yellow"),
        Text.assemble((entry.node, "bold underline" if shown else "")),
        "recorded" if replayed else STATES.get(state, state),
        (run.model or (entry.status.model if entry.status else "")).rstrip("/").rpartition("/")[2],
        ratio(held, run.capacity_tokens),
        "-" if now.hit_rate is None else ratio(now.hit_rate, 1),
        f"{now.requests_per_s:.1f}",
        "-" if now.ttft_p50_s is None else seconds(now.ttft_p50_s),
        worst_words(line),
        f"{run.running}+{run.waiting}",
        policy_words(entry),
        f"{short(held)}/{short(run.capacity_tokens)}",
        f"{run.totals.evictions_that_hurt:,}",
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
    """Enter opens the daemon under the cursor."""

    BINDINGS = [
        Binding(
            "enter", "select_cursor", "open", tooltip="show this daemon on every screen, first its map", id="view.open"
        )
    ]


class FleetScreen(FilteringScreen, SortingScreen):
    """Which daemons are there; enter opens one; below, the run and the last events of the one that is open."""

    mode = "fleet"
    help_text = (
        "One line per daemon heard on the broker. Enter opens one: every other screen then shows it; 1 comes "
        "back here, ( and ) go to the daemon before and after. KV, hit, req/s, TTFT (half of the requests wait longer) "
        "are of now, worst off is who waits longer or finds less than usual, with ! in front, else who was hurt most "
        "since the run began; hurt counts evicted nodes whose tokens had to be computed again. s, S or a click on "
        "a header sort, / filters."
    )
    BINDINGS = [
        *sort_keys(),
        filter_key("only daemons with a text in name, model, state or trouble"),
    ]

    sorted_by = tuple(title for title, _ in SORTS)
    headers = HEADERS

    def body(self) -> Iterable[Widget]:
        yield DaemonsTable(COLUMNS, id="daemons")
        yield Panel(id="fleet-verdict", markup=False)
        with Horizontal(id="fleet-low"):
            with Vertical(id="fleet-facts"):
                yield Panel(id="run-facts")
                yield Panel(id="shares")
            yield Panel(id="latest")
        yield FilterBar()

    def draw_state(self, *, tables: bool) -> None:
        super().draw_state(tables=tables)
        if tables:
            self._show_daemons()

    def _show_daemons(self) -> None:
        fleet, replayed = self.deck.fleet, self.deck.replay is not None
        table = self.query_one("#daemons", SyncTable)
        lines = [line_of(fleet, entry, replayed=replayed) for _, entry in sorted(fleet.nodes.items())]
        lines.sort(key=SORTS[self._sort][1])
        rows = [(line.entry.node, fleet_row(fleet, line, replayed=replayed, shown=line.entry is self.entry))
                for line in lines if self._matches(line)]  # fmt: skip
        table.sync(rows)
        table.set_class(len(rows) > MANY, "-many")
        whole = count(len(fleet.nodes), "daemon")
        found = f"{len(rows)} of {whole} with '{plain(self._query)}'" if self._query else whole
        table.border_title = found + (f", sorted by {self.sorted_by[self._sort]}" if self._sort else "")
        if not fleet.nodes:
            self.query_one("#run-facts", Static).update(f"no daemon heard yet; {start_words()}")

    def _matches(self, line: Line) -> bool:
        status = line.entry.status
        told = f"{line.entry.node} {line.entry.run.model} {status.state if status else ''} {line.alert}"
        return self._query.lower().strip() in told.lower()

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if tables:
            self._show_verdict(entry)
            self._show_facts(entry)
            self._show_latest(entry)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        self.deck.open_daemon(selected_key(event))

    def _show_verdict(self, entry: NodeState) -> None:
        """That nothing is seen, or what else the daemon says is wrong; who is worse off than usual, if anybody is, and
        where to read on."""
        now_ns = self.deck.fleet.now_ns(entry)
        found = trouble(entry.run, now_ns)
        panel = self.query_one("#fleet-verdict", Static)
        wrong = blind_words(entry.run) or _beside(entry, replayed=self.deck.replay is not None)
        lines = [f"! {wrong}"] if wrong else []
        if found:
            worst = found[0]
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            key = self.key("screen.harm", "7")
            told = trouble_words(worst, recent_blame(entry.run, worst.agent, now_ns))
            lines.append(f"! {told}{more}; {key} shows who did what")
        panel.display = bool(lines)
        panel.update("\n".join(lines))

    def _show_facts(self, entry: NodeState) -> None:
        panel = self.query_one("#run-facts", Static)
        panel.border_title = plain(entry.node)
        width = max(10, panel.content_size.width)
        now_ns = self.deck.fleet.now_ns(entry)
        series = [0.0 if value is None else max(0.02, value) for value in
                  hit_series(entry.run, now_ns, min(60, width), SERIES_BUCKET_S)]  # fmt: skip
        rows = [("hit rate", f"{ratio(run_hit_rate(entry.run) or 0.0, 1)} since the run began"),
                ("names", doubted_words(entry.run)),
                *totals_words(entry.run.totals, entry.unknown_events),
                ("evictions", unseen_since(entry.run))]  # fmt: skip
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
