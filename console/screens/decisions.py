"""Over the policies: what one of them decided lately, why, and what came of it."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import DataTable, Static

from radixdeck.daemon.wire import PolicyInfo
from radixdeck.policies.events import NodeEvicted

from ..causes import follow
from ..decisions import MOST, Decision, Lately, decided, lately_words
from ..fleet_state import NodeState
from ..policy_table import policy_table
from ..rulings import door_words
from ..widgets.panel import Panel
from ..widgets.table import Cell, Column, SyncTable, selected_key
from ..words import count, plain, printable, signed, time_of_day
from .base import DeckScreen, back_key
from .chain import ChainScreen

COLUMNS = (
    Column("when", 10, least=58),
    Column("what it did", 0),
    Column("what came of it", 25),
    Column("worth", 7, right=True),
    Column("why", 56, least=150),
)


class DecisionsScreen(DeckScreen):
    """`policy`: whose decisions."""

    mode = "policies"
    help_text = (
        "What this policy decided in the events this console holds, newest first: evictions with their score and what "
        "plain LRU would have taken, actions, and what it ruled at the door. again: tokens computed again since; kept: "
        "what was found since of the node that LRU would have taken. worth: the one less the other, each decision by "
        "itself; of a warm-up, what the next request found of it. A run keeps its last 300 losses: what came of "
        "evictions from before is not known any more, and not summed. enter follows an eviction to its cause, X writes "
        "all."
    )
    BINDINGS = [back_key()]

    def __init__(self, policy: str) -> None:
        super().__init__()
        self._policy = policy
        self._shown: dict[str, Decision] = {}

    def body(self) -> Iterable[Widget]:
        yield Panel(id="decisions-words", markup=False)
        yield DecisionsTable(COLUMNS, id="decisions")
        yield Panel(id="decision-why", markup=False)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        policy, lately = lately_of(self._policy, entry)
        table = self.query_one("#decisions", SyncTable)
        table.border_title = f"{plain(self._policy)}: {count(len(lately.decisions), 'decision')} in the events at hand"
        listed = [(_key(one), one) for one in lately.decisions]
        table.sync([(key, _row(one)) for key, one in listed])
        said = words_of(policy, lately, entry)
        self.query_one("#decisions-words", Static).update(said or "it has decided nothing lately")
        self._shown = dict(listed)
        self.on_data_table_row_highlighted()

    def on_data_table_row_highlighted(self) -> None:
        """The whole of one decision, where the columns cut it."""
        one = self._shown.get(self.query_one("#decisions", SyncTable).selected)
        told = f"{one.what}: {one.came}. Why: {one.why or 'it did not say'}" if one else ""
        self.query_one("#decision-why", Static).update(printable(told))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """From an eviction to what caused it."""
        entry, one = self.entry, self._shown.get(selected_key(event))
        line = next((line for line in entry.log if line.seq == one.seq), None) if entry and one else None
        links = follow(line, entry.run, entry.log) if entry and line else []
        if entry is None or line is None or not links:
            self.notify("nothing is known to have caused this one", severity="warning", timeout=4)
            return
        lost = line.event.agents if isinstance(line.event, NodeEvicted) else ()
        self.deck.push_screen(ChainScreen(self.mode, entry, links, lost[0] if len(lost) == 1 else ""))


class DecisionsTable(SyncTable):
    """Enter follows the decision under the cursor."""

    BINDINGS = [
        Binding("enter", "select_cursor", "cause", tooltip="from an eviction to what caused it", id="view.cause")
    ]


def lately_of(name: str, entry: NodeState, most: int = MOST) -> tuple[PolicyInfo | None, Lately]:
    """A policy as it is listed now, and what it decided, the last `most` one by one."""
    listed = policy_table(entry).policies
    policy = next((one for one in listed if one.name == name), None)
    if policy is None:
        return None, Lately([])
    mates = [one.name for one in listed if one.slot and one.slot == policy.slot]
    return policy, decided(policy, mates, entry.run, entry.log, most)


def words_of(policy: PolicyInfo | None, lately: Lately, entry: NodeState) -> str:
    """What its decisions were worth together."""
    if policy is None:
        return ""
    door = door_words(policy.name, entry.run).partition("\n")[0]
    told = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in policy.tells.items())
    return printable(". ".join(part for part in (lately_words(policy, lately), door, told) if part))


def _key(one: Decision) -> str:
    return f"{one.seq} {one.t_ns} {one.what}"


def _row(one: Decision) -> list[Cell]:
    worth = signed(one.worth_tokens) if one.worth_tokens else "-"
    return [time_of_day(one.t_ns), printable(one.what), printable(one.came), worth, printable(one.why)]
