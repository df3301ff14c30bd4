"""Mode 7: evictions that hurt. Who lost what to whom, what it cost, and each from miss to request."""

# Textual types tables without their parameter.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rich.text import Text
from textual.binding import Binding
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import DataTable, Static

from radixdeck.policies.residency import Hurt, RunState

from ..blindness import blind_words, unseen_since
from ..causes import chain
from ..commands import Target
from ..fleet_state import NodeState
from ..misses import miss_words, misses
from ..theme import AgentMark
from ..trends import recent_blame, trouble, trouble_words
from ..widgets.panel import Panel
from ..widgets.table import Cell, Column, SyncTable, selected_key
from ..words import brief_id, plain, seconds, short, time_of_day, tokens
from .agent import AgentScreen
from .base import ActingScreen
from .chain import ChainScreen

PAIR_COLUMNS = (
    Column("", 1),
    Column("lost", 14),
    Column("its", 8),
    Column("pushed out by", 0),
    Column("misses", 6, right=True, least=58),
    Column("nodes", 6, right=True, least=90),
    Column("tok again", 9, right=True),
    Column("last", 10, right=True, least=70),
)
HURT_COLUMNS = (
    Column("missed at", 10),
    Column("what", 0),
    Column("tok again", 9, right=True),
    Column("gone for", 9, right=True, least=62),
    Column("pushed out by", 16),
    Column("request", 14, least=100),
    Column("which needed", 12, right=True, least=100),
)
TROUBLES = 3


class Pair(NamedTuple):
    """All that one agent lost of one kind to the requests of another, newest last."""

    agent: str
    what: str
    by: str
    hurts: list[Hurt]

    @property
    def key(self) -> str:
        return "\x1f".join((self.agent, self.what, self.by))

    @property
    def tokens(self) -> int:
        return sum(hurt.tokens for hurt in self.hurts)


def what_of(hurt: Hurt, run: RunState) -> str:
    """'anchor' for whatever lay in the agent's anchor, shared with others or not; else 'history'."""
    stats = run.agents.get(hurt.agent)
    return "anchor" if hurt.role == "anchor" or (stats and hurt.start < stats.anchor_tokens) else "history"


def pairs(run: RunState) -> list[Pair]:
    """The evictions that hurt by who lost what to whom, the costliest first."""
    found: dict[tuple[str, str, str], Pair] = {}
    for hurt in run.hurts:
        key = (hurt.agent, what_of(hurt, run), hurt.by_agent or hurt.cause)
        found.setdefault(key, Pair(*key, [])).hurts.append(hurt)
    return sorted(found.values(), key=lambda pair: (-pair.tokens, pair.key))


def pair_cells(pair: Pair, marks: Mapping[str, AgentMark]) -> list[Cell]:
    mark = marks.get(pair.agent)
    letter = Text(mark.letter, style=f"bold {mark.colour}") if mark else Text(" ")
    last = time_of_day(pair.hurts[-1].t_ns)
    counts = [f"{misses(pair.hurts):,}", f"{len(pair.hurts):,}"]
    return [letter, pair.agent, pair.what, pair.by, *counts, f"{pair.tokens:,}", last]


def hurt_cells(hurt: Hurt, run: RunState) -> list[Cell]:
    what = f"{hurt.agent}'s {what_of(hurt, run)}" + (f" in {hurt.session}" if hurt.session else "")
    return [
        time_of_day(hurt.t_ns),
        what,
        f"{hurt.tokens:,}",
        seconds(max(0, hurt.t_ns - hurt.evicted_ns) / 1e9),
        hurt.by_agent or hurt.cause,
        brief_id(hurt.by_rid),
        f"{short(hurt.by_tokens)} tok" if hurt.by_tokens else "-",
    ]


def verdict(run: RunState, now_ns: int) -> str:
    """That nothing is seen; who is worse off than usual, in a line each; else that nobody is."""
    found = trouble(run, now_ns)
    worded = [trouble_words(one, recent_blame(run, one.agent, now_ns)) for one in found[:TROUBLES]]
    worded += [f"{len(found) - TROUBLES} more agents are worse off than usual"] if len(found) > TROUBLES else []
    worded = worded or ["nobody is worse off than usual"]
    return "\n".join([*filter(None, [blind_words(run)]), *worded])


def title(run: RunState) -> str:
    """The whole run: how many nodes hurt, and in how many misses, if that is still known."""
    totals = run.totals
    found = misses(run.hurts) if len(run.hurts) == totals.evictions_that_hurt else 0
    return (
        f"{totals.evictions_that_hurt:,} of {totals.evictions:,} evicted nodes hurt, "
        f"{tokens(totals.hurt_tokens)} computed again{f' in {found:,} misses' if found > 1 else ''}"
        f"{f'; {unseen_since(run)}' if run.blind else ''}"
    )


def telling(pair: Pair) -> Hurt:
    """The one to look at first: the last of those that cost most."""
    most = max(hurt.tokens for hurt in pair.hurts)
    return [hurt for hurt in pair.hurts if 2 * hurt.tokens >= most][-1]


class HurtsTable(SyncTable):
    """Enter follows the one under the cursor."""

    BINDINGS = [Binding("enter", "select_cursor", "cause", tooltip="from the miss to its cause", id="view.cause")]


class HarmScreen(ActingScreen):
    """Above by agents, below one by one; enter follows one from effect to cause."""

    mode = "harm"
    help_text = (
        "An eviction hurts when its owner asks for the same tokens again and has to compute them. Above: who lost what "
        "to whose requests, the costliest first: misses are requests that computed it again, nodes what had gone "
        "(the last 300 are kept). Below: each node of the selected line. enter "
        "follows one from the miss over the eviction and the insert to the request that needed the room; a opens the "
        "agent that lost, and t p b w act on it."
    )

    BINDINGS = [
        Binding("a", "agent", "agent", tooltip="the page of the agent that lost", id="view.agent"),
    ]

    def body(self) -> Iterable[Widget]:
        yield Panel(id="verdict", markup=False)
        with Vertical(id="harm-tables"):
            yield HurtsTable(PAIR_COLUMNS, id="pairs")
            yield HurtsTable(HURT_COLUMNS, id="hurts")

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        run = entry.run
        words = self.query_one("#verdict", Static)
        words.update(verdict(run, self.deck.fleet.now_ns(entry)))
        words.set_class(not run.blind and not trouble(run, self.deck.fleet.now_ns(entry)), "-calm")
        found, marks = pairs(run), entry.marks
        upper = self.query_one("#pairs", SyncTable)
        upper.border_title = title(run)
        upper.sync([(pair.key, pair_cells(pair, marks)) for pair in found])
        self._show_hurts(entry, found)

    def target(self) -> Target | None:
        pair = self._pair()
        return self.agent_target(pair.agent) if pair else None

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.data_table.id == "pairs" and self.entry is not None:
            self._show_hurts(self.entry, pairs(self.entry.run))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Follow the one under the cursor; of a line above, the last one."""
        pair, entry = self._pair(), self.entry
        if pair is None or entry is None:
            return
        chosen = [hurt for hurt in pair.hurts if hurt_key(hurt) == selected_key(event)]
        hurt = chosen[-1] if chosen else telling(pair)
        self.deck.push_screen(ChainScreen(self.mode, entry, chain(hurt, entry.run, entry.log), hurt.agent))

    def action_agent(self) -> None:
        if (pair := self._pair()) is not None:
            self.deck.push_screen(AgentScreen(pair.agent, self.mode))

    def _pair(self) -> Pair | None:
        selected = self.query_one("#pairs", SyncTable).selected
        found = pairs(self.entry.run) if self.entry else []
        return next((pair for pair in found if pair.key == selected), None)

    def _show_hurts(self, entry: NodeState, found: list[Pair]) -> None:
        table = self.query_one("#hurts", SyncTable)
        selected = self.query_one("#pairs", SyncTable).selected
        pair = next((pair for pair in found if pair.key == selected), found[0] if found else None)
        hurts = pair.hurts[::-1] if pair else []
        lost = f"{pair.agent}'s {pair.what}, lost to {pair.by}: {miss_words(hurts)}" if pair else "none so far"
        table.border_title = plain(lost)
        table.sync([(hurt_key(hurt), hurt_cells(hurt, entry.run)) for hurt in hurts])


def hurt_key(hurt: Hurt) -> str:
    return f"{hurt.rid}\x1f{hurt.node}"
