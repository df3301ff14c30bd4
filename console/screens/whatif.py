"""Mode 0: the recorded requests under other policies or with other memory, side by side with what really happened."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import DataTable, Static

from radixdeck.policies.seat import EVICTION
from radixdeck.storage.errors import StorageError

from ..dialogs import Ask
from ..fleet_state import NodeState
from ..policy_table import policy_table
from ..whatif_case import AS_RECORDED, MODELLED, Case
from ..whatif_rows import OTHER_BASE, Look, key_of_row, rows, size_words
from ..whatif_runs import WhatIfs
from ..whatif_words import difference_words, first_seq, parse_values
from ..widgets.panel import Panel
from ..widgets.table import Column, SyncTable, selected_key
from ..words import bar, clip, printable, ratio, short, spark
from .base import DeckScreen

COLUMNS = (
    Column("", 1),
    Column("policy", 20),
    Column("cache", 8, right=True, least=64),
    Column("hit rate", 8, right=True),
    Column("points", 7, right=True),
    Column("saved tok", 9, right=True, least=75),
    Column("evictions", 9, right=True, least=86),
    Column("that hurt", 9, right=True, least=97),
    Column("tok again", 10, right=True, least=110),
    Column("", 0),
)
TIMES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
HINT = "run a row to see where it first differs from the one marked >"
LIVE = "needs a replay: `radixdeck replay` (screen 6 prints the command)"


class CasesTable(SyncTable):
    """Left and right change the memory of every case."""

    BINDINGS = [
        Binding("enter", "select_cursor", "run", tooltip="run this policy over the recorded requests", id="view.run"),
        Binding("left,h", "screen.size(-1)", "less", key_display="←", tooltip="a smaller cache",
                id="view.less"),
        Binding("right,l", "screen.size(1)", "more", key_display="→", tooltip="a larger cache",
                id="view.more"),
    ]  # fmt: skip


class WhatIfScreen(DeckScreen):
    """One row per policy at one size of the cache; a run goes on while anything else is looked at."""

    mode = "whatif"
    help_text = (
        "What the same requests, at their recorded times, would have found in the cache under another policy or with "
        "more or less memory: nothing is asked of the engine. enter runs a row, A all of them, x stops, left and right "
        "change the memory. c compares with the row under the cursor instead of with what really happened; H counts "
        "only what came after the moment that a replay stands at. F goes further: up to that moment the run is as it "
        "was, and the row's policy, memory and tunables hold from then on. T sets tunables of the row's policy, f goes "
        "to where two rows first differ. Best possible: no eviction order could do better."
    )
    BINDINGS = [
        Binding("A", "run_all", "run all", tooltip="run every policy at this size", id="view.run_all"),
        Binding("x", "stop", "stop", tooltip="stop the run under way", id="view.stop"),
        Binding("c", "compare", "compare with", tooltip="compare the others with this row", id="view.compare"),
        Binding("F", "change_here", "change here", id="view.change_here",
                tooltip="the same run up to this moment, the row's policy from then on"),
        Binding("T", "values", "tunables", tooltip="give the row's policy other tunables", id="view.values"),
        Binding("f", "go_to_difference", "first", tooltip="take the replay to where the two first differ",
                id="view.difference"),
        Binding("H", "from_here", "from here", tooltip="count only what comes after this moment of the replay",
                id="view.from_here"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._times = TIMES.index(1.0)
        self._base: Case | None = None
        self._from_here = False
        self._moment = -1
        self._values: dict[str, tuple[tuple[str, float], ...]] = {}

    def body(self) -> Iterable[Widget]:
        yield CasesTable(COLUMNS, id="cases")
        yield Panel(id="whatif-words", markup=False)
        yield Panel(id="whatif-agents", markup=False)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        runs, why = self.deck.whatifs(entry)
        table = self.query_one("#cases", SyncTable)
        table.border_title = self._title(runs)
        if runs is None:
            self.query_one("#whatif-words", Static).update(why)
            table.sync([])
            agents = self.query_one("#whatif-agents", Static)
            agents.border_title = "nothing to run here"
            agents.update("")
            return
        look = Look(self._base, self._after_seq, self.key("view.run", "⏎"))
        table.sync(rows(runs, self._cases(entry), look))
        self._show_words(runs, self._selected(entry))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        if self.entry is not None:
            case = self._case_of(self.entry, selected_key(event))
            self._run(self.entry, [case] if case is not None else [])

    def on_data_table_row_highlighted(self) -> None:
        self.refresh_state(tables=True)

    def action_size(self, places: int) -> None:
        self._times = max(0, min(len(TIMES) - 1, self._times + places))
        self.refresh_state(tables=True)

    def action_run_all(self) -> None:
        if self.entry is not None:
            runs, _ = self.deck.whatifs(self.entry)
            cases = self._cases(self.entry)
            self._run(self.entry, [case for case in cases if runs and runs.wants(case)])

    def action_stop(self) -> None:
        self.deck.stop_whatifs()

    def action_compare(self) -> None:
        case = self._selected(self.entry) if self.entry else None
        runs = self.deck.whatifs(self.entry)[0] if self.entry else None
        if case is not None and (runs is None or case not in runs.outcomes):
            self.notify("this row has not run: enter runs it", severity="warning", timeout=6)
            return
        self._base = case
        self.refresh_state(tables=True)

    def action_change_here(self) -> None:
        """From the moment that the replay stands at; again: the whole run."""
        if self.deck.replay is None or self.entry is None:
            self.notify(LIVE, severity="warning", timeout=6)
            return
        self._moment = -1 if self._moment >= 0 else max(0, self.entry.seq)
        self._base = MODELLED if self._moment >= 0 else None
        self.refresh_state(tables=True)

    def action_values(self) -> None:
        case = self._selected(self.entry) if self.entry else None
        if case is not None and case.policy:
            self.run_worker(self._ask_values(case), exclusive=True)

    async def _ask_values(self, case: Case) -> None:
        policies = policy_table(self.entry).policies if self.entry else []
        known = [tunable for policy in policies if policy.name == case.policy for tunable in policy.tunables]
        doc = "name=value, ... of: " + ", ".join(f"{one.name} ({one.value:g})" for one in known)
        now = ", ".join(f"{name}={value:g}" for name, value in case.values)
        ask = Ask(f"Tunables of {case.policy}", now, doc, lambda text: parse_values(text, known))
        typed = await self.deck.push_screen_wait(ask)
        if typed is not None:
            self._values[case.policy] = typed
            self.refresh_state(tables=True)

    def action_go_to_difference(self) -> None:
        runs = self.deck.whatifs(self.entry)[0] if self.entry else None
        case = self._selected(self.entry) if self.entry else None
        if runs is None or case is None or case not in runs.outcomes or self.deck.replay is None:
            self.notify(LIVE if self.deck.replay is None else "run this row first", severity="warning", timeout=6)
            return
        base = self._base if self._base in runs.outcomes else None
        found = first_seq(runs, base, case, self._after_seq)
        if found is None:
            self.notify("they never differ", timeout=4)
            return
        try:
            moment_ns = runs.moment_of(found)
        except StorageError as error:
            self.notify(str(error), severity="error", timeout=6, markup=False)
            return
        self.deck.replay.seek(moment_ns)

    def _run(self, entry: NodeState, cases: list[Case]) -> None:
        """Anything from a moment on needs the run as it was to be compared with."""
        runs, _ = self.deck.whatifs(entry)
        first = [MODELLED] if runs is not None and self._moment >= 0 and runs.wants(MODELLED) else []
        self.deck.run_whatifs(entry, first + [case for case in cases if case not in first])

    def action_from_here(self) -> None:
        if self.deck.replay is None:
            self.notify(LIVE, severity="warning", timeout=6)
            return
        if self._moment >= 0:
            self.notify(
                f"{self.key('view.change_here', 'F')} is on: only what comes after its moment is counted",
                severity="warning",
                timeout=4,
            )
            return
        self._from_here = not self._from_here
        self.refresh_state(tables=True)

    def _cases(self, entry: NodeState) -> list[Case]:
        names = [policy.name for policy in policy_table(entry).policies if policy.slot == EVICTION]
        times = TIMES[self._times]
        cases = [Case(name, times, self._moment, self._values.get(name, ())) for name in names]
        return [MODELLED, *cases] if self._moment >= 0 else cases

    def _selected(self, entry: NodeState) -> Case | None:
        """The case under the cursor, None for what really happened."""
        return self._case_of(entry, self.query_one("#cases", SyncTable).selected)

    def _case_of(self, entry: NodeState, key: str) -> Case | None:
        if key == OTHER_BASE:
            return self._base
        return next((case for case in self._cases(entry) if key_of_row(case) == key), None)

    @property
    def _after_seq(self) -> int:
        if self._moment >= 0:
            return self._moment
        return self.entry.seq if self._from_here and self.entry else -1

    def _title(self, runs: WhatIfs | None) -> str:
        size = f"a cache of {TIMES[self._times]:g}x the recorded size"
        size += size_words(runs, TIMES[self._times]) if runs else ""
        if self._moment >= 0:
            return f"what if from event {self._moment:,} on: {size}; up to then as it was"
        return f"what if: {size}" + (", counted from this moment on" if self._from_here else "")

    def _show_words(self, runs: WhatIfs, case: Case | None) -> None:
        """Where the row under the cursor and the one it is compared with first differ, and what it means by agent."""
        words, agents = self.query_one("#whatif-words", Static), self.query_one("#whatif-agents", Static)
        base = self._base if self._base in runs.outcomes else None
        named = base.beside(TIMES[self._times]) if base else AS_RECORDED
        agents.border_title = f"hit rate by agent, compared with {named}; above, over time"
        failed = [f"{case.words}: {printable(runs.failed[case])}"] if case is not None and case in runs.failed else []
        ran = runs.outcomes.get(case) if case is not None else None
        remarks = [printable(remark) for remark in ran.remarks] if ran is not None else []
        if case is None or ran is None or case == base or ran.too_long:
            told = failed or ([] if ran is not None and ran.too_long else [HINT])
            words.update("\n".join([*told, *remarks]))
            agents.update("")
            return
        words.update("\n".join([*failed, difference_words(runs, base, case, self._after_seq), *remarks]))
        width = max(10, agents.content_size.width - 24)
        lines = [
            f"{clip(name, 20):<22}{spark(runs.hit_series(one, self._after_seq, width, other), top=1.0)}"
            for name, one, other in ((named, base, case), (case.words, case, base))
        ]
        before, after = (runs.by_agent(one, self._after_seq, other) for one, other in ((base, case), (case, base)))
        lines += [agent_line(name, *before[name], after[name][1]) for name in before]
        agents.update("\n".join(lines))


def agent_line(agent: str, prompt: int, before: int, after: int) -> str:
    """'planner   12k tok   5 % ->  84 %  +79.0 points  ▌'."""
    points = 100 * (after - before) / prompt if prompt else 0.0
    gauge = bar(after / prompt if prompt else 0.0, 20)
    name = clip(agent or "nobody", 18)
    shares = f"{ratio(before, prompt):>5} -> {ratio(after, prompt):>5}"
    return f"{name:<18} {short(prompt):>6} tok  {shares}  {points:+6.1f} points  {gauge}"
