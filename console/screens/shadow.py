"""Over the policies: another eviction policy, or other values, beside the one that is on, before it is switched to."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from radixdeck.daemon.wire import PolicyInfo, TunableInfo
from radixdeck.policies.seat import EVICTION
from radixdeck.storage.beside import BesideView
from radixdeck.storage.side import RECENT, NextVictim, SideView

from ..acting import give
from ..commands import Order, parse_amount
from ..dialogs import Ask
from ..fleet_state import NodeState
from ..holders import holder
from ..policy_table import policy_table
from ..shadow_run import Choice
from ..shadow_words import UNKNOWN, doubt, gain_of, gained, rate
from ..shadow_worker import Followed
from ..widgets.panel import Panel
from ..widgets.table import Cell, Column, SyncTable
from ..widgets.tunables import Slider, TunablesTable
from ..words import brief, clip, parts, short
from .base import back_key
from .following import FollowingScreen

REALLY = "really"
ENDS = "The shadow ends, and what it counted goes with it."
COLUMNS = (
    Column("", 22),
    Column("since begun", 11, right=True),
    Column(f"last {RECENT}", 9, right=True, least=58),
    Column("evictions", 9, right=True, least=69),
    Column("that hurt", 9, right=True, least=91),
    Column("tok again", 9, right=True, least=91),
    Column("", 0),
)


class ShadowScreen(FollowingScreen):
    """`other`: the policy beside the one that is on; it may be the same, with values of its own."""

    help_text = (
        "Both policies are modelled from the same moment on the same requests, so the rates can be compared with each "
        "other; the first row is what the engine really serves. Below: what each would evict next, then the tunables "
        "of the other one: left and right, enter and backspace change them for the shadow alone, which then begins "
        "anew. O switches the live engine over to it, with these values, and ends the shadow; it asks first. "
        "escape goes back, the shadow goes on; x stops it. Requests count once they have ended."
    )
    ordering = frozenset(("view.switch_over",))
    BINDINGS = [
        Binding("O", "switch_over", "switch over", tooltip="switch the live engine to it, values and all",
                id="view.switch_over"),
        Binding("x", "stop", "stop", tooltip="stop the shadow and go back", id="view.stop"),
        back_key("back; the shadow goes on", "escape"),
    ]  # fmt: skip

    def __init__(self, other: str) -> None:
        super().__init__()
        self._other = other
        self._values: dict[str, float] = {}
        self._switching = False
        """Whether the switch was asked for and is not over yet."""

    def body(self) -> Iterable[Widget]:
        yield SyncTable(COLUMNS, id="beside")
        with Horizontal(id="beside-victims"):
            yield Panel(id="victims-on")
            yield Panel(id="victims-other")
        yield TunablesTable(id="shadow-tunables")
        yield Panel(id="shadow-words", markup=False)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        on = holder_of_slot(entry)
        table = self.query_one("#beside", SyncTable)
        table.border_title = f"{self._called} beside {on or 'nothing'}"
        if not on:
            self.query_one("#shadow-words", Static).update("which policy is on is not known yet")
            return
        self.deck.shadows.want(self.deck, entry, Choice(on, self._other, tuple(sorted(self._values.items()))))
        shadow, why = self.deck.shadows.of(entry)
        self.query_one("#shadow-words", Static).update(shadow.told if shadow is not None else why)
        self._show_tunables(entry)
        view = both(shadow)
        sides = (None, None) if view is None else view.sides
        table.sync([] if view is None else self._rows(view))
        self._show_victims(sides[0], "#victims-on", f"{on} (on) would evict next")
        self._show_victims(sides[1], "#victims-other", f"{self._called} would evict next")

    def on_tunables_table_changed(self, message: TunablesTable.Changed) -> None:
        found = self._tunable(message.key)
        if found is not None:
            tunable = found[1]
            self._set(tunable, message.wanted(tunable, self._values.get(tunable.name, tunable.value)))

    def on_data_table_row_selected(self) -> None:
        if self.query_one("#shadow-tunables").has_focus:
            self.run_worker(self._type(), exclusive=True)

    def action_switch_over(self) -> None:
        """The values first, so that the policy decides with them from its first decision on."""
        if self.entry is None:
            return
        if self._switching:
            self.notify("it is being switched over already", severity="warning", timeout=4)
            return
        why = self._gained()
        orders = [
            Order(
                "tune", {"policy": self._other, "name": name, "value": value},
                f"set {self._other}.{name} to {value:g}", why,
            )
            for name, value in self._values.items()
        ]  # fmt: skip
        if holder_of_slot(self.entry) != self._other:
            orders.append(Order("policy", {"name": self._other, "enabled": True}, f"switch {self._other} on", why))
        if orders:
            self._switching = True
            shadow, _ = self.deck.shadows.of(self.entry)
            lost = "\n".join(words for words in (self._warning(), ENDS) if words)
            give(self.deck, orders, called=f"switch the live engine over to {self._called}", lost=lost,
                 after=lambda done: self._switched_over(shadow, done))  # fmt: skip
        else:
            self.notify(f"{self._other} is on already, with these values", severity="warning", timeout=4)

    def _switched_over(self, shadow: Followed | None, done: bool) -> None:
        """`shadow`, which it was about, would be compared with itself from now on; one begun since goes on."""
        self._switching = False
        if done and self.deck.shadows.stop_only(shadow) and self.deck.screen is self:
            self.deck.pop_screen()

    def _gained(self) -> str:
        """What the shadow showed, as the reason of the switch."""
        return gained(view) if (view := self._view) is not None else ""

    def _warning(self) -> str:
        """What speaks against a switch for the sake of what the shadow shows."""
        return doubt(view) if (view := self._view) is not None else ""

    @property
    def _view(self) -> BesideView | None:
        """What the shadow of the daemon that is shown has found, if one runs."""
        return both(self.deck.shadows.of(self.entry)[0]) if self.entry else None

    @property
    def _called(self) -> str:
        changed = ", ".join(f"{name} {value:g}" for name, value in self._values.items())
        return f"{self._other} with {changed}" if changed else self._other

    async def _type(self) -> None:
        found = self._tunable(self.query_one("#shadow-tunables", TunablesTable).selected)
        if found is None:
            return
        tunable = found[1]
        question = f"{tunable.name}, {tunable.low:g} to {tunable.high:g} {tunable.unit}".rstrip()
        value = self._values.get(tunable.name, tunable.value)
        typed = await self.deck.push_screen_wait(Ask(question, f"{value:g}", tunable.doc, parse_amount))
        if typed is not None:
            self._set(tunable, max(tunable.low, min(tunable.high, typed)))

    def _set(self, tunable: TunableInfo, value: float) -> None:
        """A value that is the live one's needs no telling."""
        if value == tunable.value:
            self._values.pop(tunable.name, None)
        else:
            self._values[tunable.name] = value
        self.refresh_state(tables=True)

    def _policy(self, entry: NodeState) -> PolicyInfo | None:
        return next((policy for policy in policy_table(entry).policies if policy.name == self._other), None)

    def _tunable(self, name: str) -> tuple[PolicyInfo, TunableInfo] | None:
        policy = self._policy(self.entry) if self.entry else None
        found = [tunable for tunable in policy.tunables if tunable.name == name] if policy else []
        return (policy, found[0]) if policy and found else None

    def _show_tunables(self, entry: NodeState) -> None:
        policy = self._policy(entry)
        table = self.query_one("#shadow-tunables", TunablesTable)
        table.border_title = f"tunables of {self._other}, for the shadow only"
        if policy is not None:
            table.show([Slider(one.name, policy, one, self._values.get(one.name)) for one in policy.tunables])

    def _rows(self, view: BesideView) -> list[tuple[str, list[Cell]]]:
        on, other = view.sides
        gain = gain_of(view)
        really: list[Cell] = [f"  {REALLY}", rate(view.served_rate), "", "", "", "", "what the engine served of these"]
        points = "" if gain is None else f"{100 * gain:+.1f} points"
        return [
            (REALLY, really),
            ("on", _side_row(on, f"{on.policy} (on)", "", gain is not None and gain <= 0)),
            ("other", _side_row(other, self._called, points, gain is not None and gain >= 0)),
        ]

    def _show_victims(self, side: SideView | None, where: str, title: str) -> None:
        panel = self.query_one(where, Static)
        panel.border_title = title
        width, height = panel.content_size
        victims = side.victims[: max(1, height)] if side is not None else []
        idle = "nothing is idle" if side is not None else "nothing modelled yet"
        panel.update(Content("\n".join(victim_line(victim, width) for victim in victims) or idle))


def both(shadow: Followed | None) -> BesideView | None:
    """What a shadow says, once there is something of either policy in it."""
    view = shadow.view if shadow is not None else None
    return view if view is not None and len(view.sides) == 2 else None


def _side_row(side: SideView, name: str, note: str, best: bool) -> list[Cell]:
    counts = [f"{side.evictions:,}", f"{side.evictions_that_hurt:,}", short(side.hurt_tokens)]
    if side.failed:
        counts, note = [UNKNOWN] * len(counts), f"FAILED: {side.failed}"
    return [f"{'*' if best else ' '} {name}", rate(side.hit_rate), rate(side.recent_hit_rate), *counts, note]


def victim_line(victim: NextVictim, width: int) -> str:
    """'  412 tok  anchor of planner, idle 12s, rate 0.02/s'."""
    whose = holder(victim.role, victim.agents, victim.session)
    words = f"{short(victim.tokens):>5} tok  {whose}, idle {brief(victim.idle_s)}"
    why = parts(victim.parts)
    return clip(f"{words}; {why}" if why else words, max(10, width))


def holder_of_slot(entry: NodeState) -> str:
    """The eviction policy that is on, '' if that is not known."""
    return next((p.name for p in policy_table(entry).policies if p.slot == EVICTION and p.enabled), "")
