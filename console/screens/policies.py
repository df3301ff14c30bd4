"""Mode 4: which policies decide, what they cost, and their tunables, changed while it runs."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, Static

from radixdeck.daemon.wire import PoliciesTable, PolicyInfo, SubjectScore, TunableInfo
from radixdeck.policies.events import NO_NODE

from ..commands import Order, parse_amount
from ..dialogs import Ask
from ..fleet_state import NodeState
from ..matrix import bars
from ..policy_table import policy_table
from ..rulings import door_words
from ..sentences import holder
from ..slider import place_of, stepped
from ..widgets.panel import Panel
from ..widgets.table import Cell, Column, SyncTable
from ..words import bar, parts, short
from .base import DeckScreen

POLICY_COLUMNS = (
    Column("on", 3),
    Column("policy", 14),
    Column("slot", 9),
    Column("what it does", 0),
    Column("decisions", 9, right=True, least=100),
    Column("observe", 9, right=True, least=100),
    Column("score", 9, right=True, least=100),
)
TUNABLE_COLUMNS = (
    Column("policy", 12, least=76),
    Column("tunable", 16),
    Column("value", 9, right=True),
    Column("low", 7, right=True),
    Column("", 13),
    Column("high", 7, right=True),
    Column("default", 8, right=True, least=100),
    Column("unit", 8, least=100),
    Column("meaning", 0, least=110),
)


def policy_row(policy: PolicyInfo) -> list[Cell]:
    mark = Text("[!]", style="bold red") if policy.failed else Text("[x]" if policy.enabled else "[ ]")
    return [
        mark,
        policy.name,
        policy.slot or "-",
        f"FAILED, plain LRU instead: {policy.failed}" if policy.failed else policy.doc,
        f"{policy.decisions:,}",
        f"{policy.observe_us:.1f} µs" if policy.observe_us else "-",
        f"{policy.score_us:.2f} µs" if policy.score_us else "-",
    ]


def tunable_row(policy: PolicyInfo, tunable: TunableInfo, pending: float | None) -> list[Cell]:
    """`pending`: a value sent and not confirmed yet, marked with an arrow."""
    value = tunable.value if pending is None else pending
    changed = "" if tunable.value == tunable.default else "~"
    return [
        policy.name,
        tunable.name,
        f"{'→' if pending is not None else changed} {value:.4g}",
        f"{tunable.low:.4g}",
        bar(place_of(tunable, value), 13),
        f"{tunable.high:.4g}",
        f"{tunable.default:.4g}",
        tunable.unit,
        tunable.doc,
    ]


def score_line(score: SubjectScore) -> str:
    """What one kind of node is worth, and why."""
    what = f"node {score.node}" if score.node != NO_NODE else holder(score.role, score.agents, score.session)
    return f"{score.key:>9.3g}  {what}  {parts(score.parts)}"


class SwitchTable(SyncTable):
    """Enter switches the policy under the cursor."""

    BINDINGS = [Binding("enter", "select_cursor", "switch", tooltip="switch the policy on or off")]


class TunablesTable(SyncTable):
    """Left and right change the value under the cursor by a step."""

    BINDINGS = [
        Binding("enter", "select_cursor", "type", tooltip="type a value"),
        Binding("left,h", "change(-1)", "less", key_display="←", tooltip="a step less"),
        Binding("right,l", "change(1)", "more", key_display="→", tooltip="a step more"),
        Binding("backspace", "reset", "default", tooltip="back to its default"),
    ]
    help_text = "Left and right change by a step, enter types a value, backspace gives the default."

    class Changed(Message):
        """The value under the cursor should move by `steps`; None: back to its default."""

        def __init__(self, steps: int | None) -> None:
            super().__init__()
            self.steps = steps

    def action_change(self, steps: int) -> None:
        self.post_message(self.Changed(steps))

    def action_reset(self) -> None:
        self.post_message(self.Changed(None))


class PoliciesScreen(DeckScreen):
    """Enter switches a policy; the one switched on takes the slot from the one that had it."""

    mode = "policies"
    help_text = (
        "Enter switches a policy on or off; at most one policy per slot is on, and switching off the last one of the "
        "eviction slot leaves plain LRU. Tab goes to the tunables. Every change is sent at once, is recorded with who "
        "made it, and can be undone. ~ marks what differs from its default, an arrow what is not confirmed yet."
    )

    def __init__(self) -> None:
        super().__init__()
        self._pending: dict[str, float] = {}

    def body(self) -> Iterable[Widget]:
        yield SwitchTable(POLICY_COLUMNS, id="policies")
        yield TunablesTable(TUNABLE_COLUMNS, id="tunables")
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
        policies.sync([(policy.name, policy_row(policy)) for policy in table.policies])
        tunables = self.query_one("#tunables", TunablesTable)
        tunables.border_title = "tunables"
        tunables.sync(
            [
                (key, tunable_row(policy, tunable, self._pending.get(key)))
                for key, (policy, tunable) in tunables_of(table).items()
            ]
        )
        self._show_words(table)
        self._show_beliefs(entry, table)

    def on_data_table_row_highlighted(self) -> None:
        if self.entry is not None:
            self._show_words(policy_table(self.entry))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        if self.entry is None:
            return
        key, table = str(event.row_key.value), policy_table(self.entry)
        if self.query_one("#policies").has_focus:
            self._toggle([policy for policy in table.policies if policy.name == key])
        else:
            self.run_worker(self._type(key), exclusive=True)

    def on_tunables_table_changed(self, message: TunablesTable.Changed) -> None:
        found = self._tunable(self.query_one("#tunables", TunablesTable).selected)
        if found is None:
            return
        key, tunable = found
        value = self._pending.get(key, tunable.value)
        self._tune(key, tunable.default if message.steps is None else stepped(tunable, value, message.steps))

    def _toggle(self, chosen: list[PolicyInfo]) -> None:
        """Switch the chosen policy, unless the daemon has stopped naming it since it was drawn."""
        for policy in chosen:
            arguments = {"name": policy.name, "enabled": not policy.enabled}
            self.deck.give(Order("policy", arguments, f"switch {policy.name} {'off' if policy.enabled else 'on'}"))

    async def _type(self, key: str) -> None:
        """Ask for a value and set it."""
        found = self._tunable(key)
        if found is None:
            return
        _, tunable = found
        question = f"{tunable.name}, {tunable.low:g} to {tunable.high:g} {tunable.unit}".rstrip()
        typed = await self.deck.push_screen_wait(Ask(question, f"{tunable.value:g}", tunable.doc, parse_amount))
        if typed is not None:
            self._tune(key, typed)

    def _tune(self, key: str, value: float) -> None:
        policy, _, name = key.partition(".")
        self._pending[key] = value
        self.refresh_state(tables=True)
        arguments = {"policy": policy, "name": name, "value": value}
        self.deck.give(Order("tune", arguments, f"set {key} to {value:g}"), after=lambda: self._confirmed(key, value))

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
        if focused == "policies" and self.entry and (said := door_words(chosen, self.entry.run)):
            panel.update(said)
            return
        chances = sorted(table.survival.items(), key=lambda item: -item[1])[:8]
        believed = ", ".join(f"{agent} {chance:.2f}" for agent, chance in chances) or "nothing yet"
        panel.update(
            f"predictability of the next agent {table.predictability:.2f} (0: no better than chance), learned from "
            f"{short(table.dispatches)} dispatches. Chance to be back soon: {believed}."
        )


def tunables_of(table: PoliciesTable) -> dict[str, tuple[PolicyInfo, TunableInfo]]:
    """Every tunable by 'policy.name'; those of policies that are on come first."""
    ordered = sorted(table.policies, key=lambda policy: not policy.enabled)
    return {f"{policy.name}.{t.name}": (policy, t) for policy in ordered for t in policy.tunables}
