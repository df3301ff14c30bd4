"""Mode 4: which policies decide, what they cost, and their tunables, changed while it runs."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from radixdeck.daemon.wire import PoliciesTable, PolicyInfo, SubjectScore, TunableInfo
from radixdeck.policies.events import NO_NODE
from radixdeck.policies.seat import EVICTION

from ..acting import give, refuses
from ..commands import Order, parse_amount
from ..dialogs import Ask
from ..fleet_state import NodeState
from ..holders import holder
from ..matrix import bars
from ..policy_table import policy_table
from ..rulings import door_words
from ..widgets.panel import Panel
from ..widgets.table import Cell, Column, SyncTable, selected_key
from ..widgets.tunables import Slider, TunablesTable
from ..words import parts, short
from .base import DeckScreen
from .curve import CurveScreen
from .decisions import DecisionsScreen, lately_of, words_of
from .shadow import ShadowScreen

POLICY_COLUMNS = (
    Column("on", 3),
    Column("policy", 14),
    Column("slot", 9),
    Column("what it does", 0),
    Column("decisions", 9, right=True, least=100),
    Column("observe", 9, right=True, least=100),
    Column("score", 9, right=True, least=100),
)


def policy_row(policy: PolicyInfo) -> list[Cell]:
    mark = Text("[!]", style="bold red") if policy.failed else Text("[x]" if policy.enabled else "[ ]")
    return [
        mark,
        policy.name,
        policy.slot or "-",
        what_of(policy),
        f"{policy.decisions:,}",
        f"{policy.observe_us:.1f} µs" if policy.observe_us else "-",
        f"{policy.score_us:.2f} µs" if policy.score_us else "-",
    ]


def what_of(policy: PolicyInfo) -> str:
    """That it failed and why, else what it does."""
    return f"FAILED, plain LRU instead: {policy.failed}" if policy.failed else policy.doc


def score_line(score: SubjectScore) -> str:
    """What one kind of node is worth, and why."""
    what = f"node {score.node}" if score.node != NO_NODE else holder(score.role, score.agents, score.session)
    return f"{score.key:>9.3g}  {what}  {parts(score.parts)}"


class SwitchTable(SyncTable):
    """Enter switches the policy under the cursor."""

    BINDINGS = [Binding("enter", "select_cursor", "switch", tooltip="switch the policy on or off",
                        id="view.switch")]  # fmt: skip


class PoliciesScreen(DeckScreen):
    """Enter switches a policy; the one switched on takes the slot from the one that had it."""

    mode = "policies"
    ordering = frozenset(("view.switch", "view.type", "view.less", "view.more", "view.default"))
    BINDINGS = [
        Binding("S", "shadow", "shadow", tooltip="run the policy under the cursor beside the one that is on",
                id="view.shadow"),
        Binding("D", "decisions", "decided", tooltip="what the policy under the cursor decided lately, and its worth",
                id="view.decisions"),
        Binding("C", "curve", "curve", tooltip="the hit rate over memory, live", id="view.curve"),
    ]  # fmt: skip
    help_text = (
        "Enter switches a policy on or off; at most one policy per slot is on, and switching off the last one of the "
        "eviction slot leaves plain LRU. Tab goes to the tunables. Every change is sent at once, is recorded with who "
        "made it, and can be undone (U); to switch off a policy that holds others back has to be meant. ~ marks "
        "what differs from its default, an arrow what is not confirmed yet. "
        "S runs the policy under the cursor beside the one that is on, D lists what it decided lately and what that "
        "was worth, C shows the hit rate over memory."
    )

    def __init__(self) -> None:
        super().__init__()
        self._pending: dict[str, float] = {}

    def body(self) -> Iterable[Widget]:
        yield SwitchTable(POLICY_COLUMNS, id="policies")
        yield TunablesTable(id="tunables", barred=lambda: refuses(self.deck, "set a tunable"))
        with Horizontal(id="beliefs"):
            yield Panel(id="chances")
            yield Panel(id="scores")
        yield Panel(id="policy-words", markup=False)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        table = policy_table(entry)
        policies = self.query_one("#policies", SyncTable)
        policies.border_title = "policies"
        # In an order that no switch changes: a row that moves takes the cursor along, and the others out of sight.
        ordered = sorted(table.policies, key=lambda policy: policy.slot != EVICTION)
        policies.sync([(policy.name, policy_row(policy)) for policy in ordered])
        tunables = self.query_one("#tunables", TunablesTable)
        tunables.border_title = "tunables"
        tunables.show([Slider(key, *found, self._pending.get(key)) for key, found in tunables_of(table).items()])
        self._show_words(table)
        self._show_beliefs(entry, table)

    def on_data_table_row_highlighted(self) -> None:
        if self.entry is not None:
            self._show_words(policy_table(self.entry))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        if self.entry is None:
            return
        key, table = selected_key(event), policy_table(self.entry)
        if self.query_one("#policies").has_focus:
            self._toggle([policy for policy in table.policies if policy.name == key])
        else:
            self.run_worker(self._type(key), exclusive=True)

    def on_tunables_table_changed(self, message: TunablesTable.Changed) -> None:
        found = self._tunable(message.key)
        if found is not None:
            key, tunable = found
            self._tune(key, message.wanted(tunable, self._pending.get(key, tunable.value)))

    def action_shadow(self) -> None:
        """Beside the live one: the policy under the cursor, or the one whose tunable is."""
        if self.entry is None:
            return
        table, name = policy_table(self.entry), self._chosen()
        evicting = [policy.name for policy in table.policies if policy.slot == EVICTION]
        if name not in evicting:
            others = f"; select one that does: {', '.join(evicting)}" if evicting else ""
            self.notify(
                f"{name or 'nothing'} does not decide what is evicted{others}",
                severity="warning",
                timeout=6,
                markup=False,
            )
            return
        self.deck.push_screen(ShadowScreen(name))

    def action_decisions(self) -> None:
        """What the policy under the cursor decided, or the one whose tunable is."""
        if name := self._chosen():
            self.deck.push_screen(DecisionsScreen(name))

    def _chosen(self) -> str:
        tunables = self.query_one("#tunables", TunablesTable)
        return tunables.selected.partition(".")[0] if tunables.has_focus else self.query_one(SwitchTable).selected

    def action_curve(self) -> None:
        self.deck.push_screen(CurveScreen())

    def _toggle(self, chosen: list[PolicyInfo]) -> None:
        """Switch the chosen policy, unless the daemon has stopped naming it since it was drawn."""
        for policy in chosen:
            arguments = {"name": policy.name, "enabled": not policy.enabled}
            words = f"switch {policy.name} {'off' if policy.enabled else 'on'}"
            give(self.deck, [Order("policy", arguments, words)])

    async def _type(self, key: str) -> None:
        """Ask for a value and set it."""
        found = self._tunable(key)
        if found is None or refuses(self.deck, f"set {key}"):
            return
        entry, (_, tunable) = self.entry, found
        question = f"{tunable.name}, {tunable.low:g} to {tunable.high:g} {tunable.unit}".rstrip()
        typed = await self.deck.push_screen_wait(Ask(question, f"{tunable.value:g}", tunable.doc, parse_amount))
        if typed is not None:
            self._tune(key, typed, entry)

    def _tune(self, key: str, value: float, entry: NodeState | None = None) -> None:
        policy, _, name = key.partition(".")
        self._pending[key] = value
        self.refresh_state(tables=True)
        ordered = Order("tune", {"policy": policy, "name": name, "value": value}, f"set {key} to {value:g}")
        give(self.deck, [ordered], entry=entry, after=lambda _: self._confirmed(key, value))

    def _confirmed(self, key: str, value: float) -> None:
        """The answer came; the table tells the value from now on, unless a newer one is under way."""
        if self._pending.get(key) == value:
            del self._pending[key]
        self.refresh_state(tables=True)

    def _tunable(self, key: str) -> tuple[str, TunableInfo] | None:
        found = tunables_of(policy_table(self.entry)).get(key) if self.entry else None
        return (key, found[1]) if found else None

    def _show_beliefs(self, entry: NodeState, table: PoliciesTable) -> None:
        """What the policies in force expect, and what that makes the cache worth, where there is room."""
        chances, scores = self.query_one("#chances", Static), self.query_one("#scores", Static)
        chances.border_title = "chance to be back soon, by the policy in force"
        drawn = bars(table.survival, entry.marks, chances.content_size.width, lambda chance: f"{chance:.2f}", top=1.0)
        chances.update(drawn if table.survival else "nothing expected yet")
        scores.border_title = "scores now, lowest goes first"
        ordered = sorted(table.scores, key=lambda score: score.key)[: max(1, scores.content_size.height)]
        scores.update(Content("\n".join(score_line(score) for score in ordered) or "none told"))

    def _show_words(self, table: PoliciesTable) -> None:
        panel = self.query_one("#policy-words", Static)
        focused = self.focused.id if self.focused else ""
        found = tunables_of(table).get(self.query_one("#tunables", TunablesTable).selected)
        if focused == "tunables" and found:
            policy, tunable = found
            default = f"Default {tunable.default:g} {tunable.unit}".rstrip()
            panel.update(f"{policy.name}.{tunable.name}: {tunable.doc} {default}.")
            return
        chosen = self.query_one("#policies", SyncTable).selected
        # The table may have cut it.
        whole = [what_of(policy) for policy in table.policies if policy.name == chosen and focused == "policies"]
        panel.update(" ".join([*whole, (self._came_of(chosen) if whole else "") or believed(table)]))

    def _came_of(self, policy: str) -> str:
        """What it ruled at the door, else what its decisions were worth; '' where it decided nothing."""
        if self.entry is None:
            return ""
        said = words_of(*lately_of(policy, self.entry, 0), self.entry)
        lists = f"{said}; {self.key('view.decisions', 'D')} lists them" if said else ""
        return door_words(policy, self.entry.run) or lists


def believed(table: PoliciesTable) -> str:
    """Who is expected back by the policy in force, and how much that is worth."""
    chances = sorted(table.survival.items(), key=lambda item: -item[1])[:8]
    told = ", ".join(f"{agent} {chance:.2f}" for agent, chance in chances) or "nothing yet"
    return (
        f"Predictability of the next agent {table.predictability:.2f} (0: no better than chance), learned from "
        f"{short(table.dispatches)} dispatches. Chance to be back soon: {told}."
    )


def tunables_of(table: PoliciesTable) -> dict[str, tuple[PolicyInfo, TunableInfo]]:
    """Every tunable by 'policy.name'; those of policies that are on come first."""
    ordered = sorted(table.policies, key=lambda policy: not policy.enabled)
    return {f"{policy.name}.{t.name}": (policy, t) for policy in ordered for t in policy.tunables}
