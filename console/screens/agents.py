"""Mode 3: every agent in numbers: what it asks, what it finds, what was taken from it and by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.text import Text
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import DataTable, Static

from radixdeck.policies.residency import AgentStats, RunState

from ..agent_facts import name_of, orders_in_force
from ..commands import Target
from ..fleet_state import NodeState
from ..matrix import harm, transitions
from ..rates import median, survival
from ..theme import NO_AGENTS, AgentMark
from ..widgets.filter_bar import FilterBar
from ..widgets.panel import Panel
from ..widgets.table import Cell, Column, SyncTable, selected_key
from ..words import plain, ratio, seconds, short
from .agent import AgentScreen
from .base import ActingScreen
from .filtering import FilteringScreen, filter_key
from .sorting import SortingScreen, sort_keys

COLUMNS = (
    Column("", 1),
    Column("agent", 0),
    Column("asked", 6, right=True),
    Column("hit", 5, right=True),
    Column("resident", 8, right=True),
    Column("anchor", 9),
    Column("anchor tok", 10, right=True, least=90),
    Column("survival", 8, right=True, least=90),
    Column("TTFT p50", 8, right=True, least=66),
    Column("hurt", 5, right=True, least=0),
    Column("mostly by", 16, least=118),
    Column("evicted", 8, right=True, least=130),
    Column("warm-ups", 8, right=True, least=150),
    Column("running", 7, right=True, least=150),
    Column("errors", 6, right=True, least=160),
    Column("orders", 24, least=170),
)

LEAST_PARTLY = 0.05
"""Below this share only the preamble that every prompt begins with is left of an anchor."""

ANCHOR_STYLES = {"resident": "#35b98e", "partly": "#f0c94c", "evicted": "#e8684a", "unknown": "#7d8894"}

SORTS: tuple[tuple[str, Callable[[AgentStats, float], Any]], ...] = (
    ("asked", lambda stats, _: -stats.dispatches),
    ("agent", lambda stats, _: name_of(stats).lower()),
    ("hit", lambda stats, _: stats.cached_tokens / stats.prompt_tokens if stats.prompt_tokens else 2.0),
    ("resident", lambda stats, _: -stats.resident_tokens),
    ("survival", lambda _, chance: -chance),
    ("TTFT p50", lambda stats, _: -(median(stats.ttft_recent_s) or 0.0)),
    ("hurt", lambda stats, _: -stats.evictions_that_hurt),
    ("evicted", lambda stats, _: -stats.evicted_tokens),
)


def anchor_words(stats: AgentStats) -> tuple[str, str]:
    """('resident', '412/412'), ('partly', '100/412'), ('evicted', '0/412') or ('unknown', '-')."""
    if not stats.anchor_tokens:
        return "unknown", "-"
    held = max(0, min(stats.anchor_resident_tokens, stats.anchor_tokens))
    share = held / stats.anchor_tokens
    word = "resident" if share >= 1 else "partly" if share >= LEAST_PARTLY else "evicted"
    return word, f"{short(held)}/{short(stats.anchor_tokens)}"


def worst_evictor(stats: AgentStats) -> str:
    """Whose requests pushed out most of what hurt: 'coder 12'."""
    if not stats.evicted_by:
        return ""
    agent, number = max(stats.evicted_by.items(), key=lambda item: (item[1], item[0]))
    return f"{agent or 'unknown'} {number}"


def cells(stats: AgentStats, mark: AgentMark | None, chance: float) -> list[Cell]:
    """One row, in the order of COLUMNS."""
    ttft = median(stats.ttft_recent_s)
    letter = Text(mark.letter, style=f"bold {mark.colour}") if mark else Text(" ")
    anchor, anchor_tokens = anchor_words(stats)
    flags = "*" * stats.pinned + "!" * stats.quarantined
    return [
        letter,
        f"{flags}{' ' if flags else ''}{name_of(stats)}",
        f"{stats.dispatches:,}",
        ratio(stats.cached_tokens, stats.prompt_tokens),
        short(stats.resident_tokens),
        Text(anchor, style=ANCHOR_STYLES[anchor]),
        anchor_tokens,
        f"{chance:.2f}",
        "-" if ttft is None else seconds(ttft),
        f"{stats.evictions_that_hurt:,}",
        worst_evictor(stats),
        short(stats.evicted_tokens),
        f"{stats.warmups:,}",
        f"{stats.running:,}",
        f"{stats.errors:,}",
        orders_in_force(stats),
    ]


def agent_rows(run: RunState, marks: dict[str, AgentMark], now_ns: int, *, sort: int, query: str) -> list[Any]:
    """Rows of the agents that a filter leaves, sorted by SORTS[sort]."""
    chances = survival(run, now_ns)
    wanted = query.lower().strip()
    known = (stats for stats in run.agents.values() if stats.agent not in NO_AGENTS)
    left = [stats for stats in known if wanted in f"{stats.agent} {stats.label}".lower()]
    left.sort(key=lambda stats: SORTS[sort][1](stats, chances.get(stats.agent, 0.0)))
    return [(stats.agent, cells(stats, marks.get(stats.agent), chances.get(stats.agent, 0.0))) for stats in left]


def agent_words(stats: AgentStats) -> str:
    """The selected agent in two or three sentences."""
    hurt = f"{stats.evictions_that_hurt:,} nodes hurt ({stats.hurt_tokens:,} tok computed again)"
    worst = sorted(stats.evicted_by.items(), key=_most)[:4]
    by = ", ".join(f"{agent or 'unknown'} {number}" for agent, number in worst)
    return (
        f"{name_of(stats)}: {'declared' if stats.declared else 'inferred'}; {stats.cached_tokens:,} of "
        f"{stats.prompt_tokens:,} prompt tokens came from the cache. {hurt}{f', pushed out by {by}' if by else ''}. "
        f"Orders in force: {orders_in_force(stats) or 'none'}."
    )


def _most(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


class AgentsTable(SyncTable):
    """Enter opens the agent under the cursor."""

    BINDINGS = [Binding("enter", "select_cursor", "open", tooltip="the page of this agent", id="view.open")]


class AgentsScreen(FilteringScreen, SortingScreen, ActingScreen):
    """A table, sorted and filtered as asked; what is selected in words below."""

    mode = "agents"
    help_text = (
        "survival: chance of a dispatch within the next three steps of a live session, from the transitions seen so "
        "far. hurt: evicted nodes whose tokens the agent had to compute again, and whose requests caused "
        "most of them. anchor: how much of its system prompt and tools is resident. s, S or a click on a header change "
        "what it is sorted by; enter opens the agent."
    )
    BINDINGS = [
        *sort_keys(),
        filter_key("show only agents whose name contains a text"),
    ]

    sorted_by = tuple(title for title, _ in SORTS)

    def body(self) -> Iterable[Widget]:
        yield AgentsTable(COLUMNS, id="agents")
        yield Panel(id="agent-words", markup=False)
        with Horizontal(id="agents-low"):
            yield Panel(id="harm")
            yield Panel(id="transitions")
        yield FilterBar()

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        table = self.query_one("#agents", SyncTable)
        now_ns = self.deck.fleet.now_ns(entry)
        rows = agent_rows(entry.run, entry.marks, now_ns, sort=self._sort, query=self._query)
        table.sync(rows)
        found = f" with '{plain(self._query)}'" if self._query else ""
        shown = f"{len(rows)} of {len(entry.marks)} agents{found}"
        table.border_title = f"{shown}, sorted by {self.sorted_by[self._sort]}"
        self._show_words(entry)

    def show_rest(self, entry: NodeState) -> None:
        self._show_matrices(entry)

    def target(self) -> Target | None:
        return self.agent_target(self.query_one("#agents", SyncTable).selected)

    def on_data_table_row_highlighted(self) -> None:
        if self.entry is not None:
            self._show_words(self.entry)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        self.deck.push_screen(AgentScreen(selected_key(event)))

    def _show_matrices(self, entry: NodeState) -> None:
        """Who pushes out whom, and who follows whom, where there is room."""
        for panel_id, title, draw in (
            ("#harm", "evicted nodes that hurt: row lost, column pushed out", harm),
            ("#transitions", "next in the same session: row, then column", transitions),
        ):
            panel = self.query_one(panel_id, Static)
            panel.border_title = title
            if panel.content_size:
                panel.update(draw(entry.run, entry.marks, *panel.content_size))

    def _show_words(self, entry: NodeState) -> None:
        stats = entry.run.agents.get(self.query_one("#agents", SyncTable).selected)
        empty = "no agent has asked anything yet" if not entry.run.agents else ""
        self.query_one("#agent-words", Static).update(agent_words(stats) if stats else empty)
