"""What operators did in a run, from its events alone, so that the actions of other consoles are there too: who, when,
what, why, whether it still holds, and what would undo it. No Textual."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from radixdeck.daemon.wire import CommandName, PoliciesTable
from radixdeck.policies.events import (
    HOST,
    NO_NODE,
    ActionTaken,
    AnyEvent,
    CacheFlushed,
    CommandReceived,
    EngineStarted,
    PolicySwitched,
    TunableChanged,
)
from radixdeck.policies.registry import BUILT_IN
from radixdeck.policies.residency import RunState

from .commands import Order

MOST = 500
BEFORE = "before this console came"
NOT_OPERATORS = frozenset({HOST, "proxy", *BUILT_IN} - {"operator"})
"""Whose actions are decisions, not orders. An MCP proxy does of itself what daemons and operators elsewhere said."""
FOR_GOOD = {
    "evict": "what was evicted must be computed again",
    "flush": "the cache was emptied",
    "warm": "a warm-up leaves nothing to undo",
    "end_session": "an ended session begins again by itself",
}
TOGETHER = {"unpin": "pin", "release": "quarantine"}
"""Kinds that are about the same as another."""
SAME_S = 1.0
"""A refusal is told by the action and by the command, one after the other."""
LIFTS: dict[str, tuple[CommandName, dict[str, Any], str]] = {
    "pin": ("unpin", {}, "unpin"),
    "unpin": ("pin", {}, "pin"),
    "quarantine": ("release", {}, "release"),
    "release": ("quarantine", {}, "quarantine"),
    "retain": ("retain", {"tokens": -1}, "stop retaining"),
    "boost": ("boost", {"amount": 0}, "end the boost of"),
}

Target = tuple[str, str, int, str]
Table = PoliciesTable | None


class Done(NamedTuple):
    """One action. `seq`: its event, -1 for what was in force when the console came; `kind`: of ActionTaken, or policy,
    tune, flush, end_session. `before`: what a tune replaced, or the tokens that were retained until a retain was
    stopped, None if that is not known; `slot_mate`: the policy that a switch took the slot from; `engine`: how many
    engines had started, -1 if not known; `gone`: its node went with the whole cache, whose number another may have."""

    seq: int
    t_ns: int
    by: str
    kind: str
    agent: str = ""
    node: int = NO_NODE
    name: str = ""
    value: float = 0.0
    before: float | None = None
    slot_mate: str = ""
    why: str = ""
    ok: bool = True
    said: str = ""
    engine: int = -1
    gone: bool = False

    @property
    def subject(self) -> str:
        return f"node {self.node}" if self.node != NO_NODE else self.agent

    @property
    def words(self) -> str:
        """'pin coder', 'kv_caching.turnover 2 -> 3', 'switch lru on'."""
        if self.kind == "tune":
            before = "" if self.before is None else f"{self.before:g} -> "
            return f"{self.name} {before}{self.value:g}"
        if self.kind == "policy":
            return f"switch {self.name} {'on' if self.value else 'off'}"
        if self.kind == "retain" and self.value < 0:
            return f"stop retaining {self.subject}"
        amount = f" {self.value:+g}" if self.kind == "boost" else ""
        return f"{self.kind.replace('_', ' ')} {self.subject or self.name}{amount}".strip()


class OperatorLog:
    """The last MOST actions, oldest first."""

    def __init__(self) -> None:
        self._done: deque[Done] = deque(maxlen=MOST)
        self._last_seq = -1
        self._emptied: deque[int] = deque(maxlen=MOST)  # events after which no node of before was there

    def __len__(self) -> int:
        return len(self._done)

    def add(self, seq: int, event: AnyEvent, run: RunState | None, table: Table, policies: Iterable[str] = ()) -> None:
        """Take one event, before it is folded into `run`; None: it was folded already, and what was before it is not
        known but for the names of `policies`, no operators. One that was taken already is passed over."""
        if seq <= self._last_seq:
            return
        self._last_seq = seq
        if isinstance(event, EngineStarted) or (isinstance(event, CacheFlushed) and not event.told_anew):
            self._emptied.append(seq)
        done = _done(seq, event, run or RunState(policies=dict.fromkeys(policies, False)), table if run else None)
        if done is None or self._is_known(done):
            return
        done = done._replace(engine=-1 if run is None else run.totals.engine_starts)
        if done.kind == "tune":
            earlier = [one.value for one in self._done if one.ok and (one.kind, one.name) == ("tune", done.name)]
            done = done._replace(before=earlier[-1] if earlier else done.before)
        self._done.append(done)

    def _is_known(self, done: Done) -> bool:
        last = self._done[-1] if self._done else None
        if last is None or last.ok or done.ok or done.t_ns - last.t_ns > SAME_S * 1e9:
            return False
        return (last.kind, last.agent, last.node, last.by) == (done.kind, done.agent, done.node, done.by)

    def forget_after(self, seq: int) -> None:
        """A replay went back: what came later has not happened."""
        while self._done and self._done[-1].seq > seq:
            self._done.pop()
        while self._emptied and self._emptied[-1] > seq:
            self._emptied.pop()
        self._last_seq = min(self._last_seq, seq)

    def listed(self, run: RunState) -> list[Done]:
        """Newest first; at the end what is in force and was ordered before anything was heard."""
        heard = [done._replace(gone=self._is_gone(done, run)) for done in reversed(self._done)]
        known = {(done.kind, done.agent, done.node) for done in heard if done.ok and not done.gone}
        return [*heard, *(done for done in _in_force(run) if (done.kind, done.agent, done.node) not in known)]

    def _is_gone(self, done: Done, run: RunState) -> bool:
        """By the count of starts too: a start itself may not have been heard."""
        emptied = bool(self._emptied) and self._emptied[-1] > done.seq
        return done.node != NO_NODE and (emptied or done.engine not in (-1, run.totals.engine_starts))


def newest_of(listed: list[Done]) -> dict[Target, Done]:
    """By what they are about, the last actions that were carried out. `listed`: newest first."""
    return {_target(done): done for done in reversed(listed) if done.ok and not done.gone}


def standing(done: Done, run: RunState, newest: Mapping[Target, Done]) -> str:
    """'in force', 'over', or why it never was: as the folded state of the run has it."""
    if not done.ok:
        return f"refused: {done.said}" if done.said else "refused"
    if done.kind in FOR_GOOD:
        return "done"
    if done.gone or newest.get(_target(done), done).seq > done.seq:
        return "over"
    return "in force" if _holds(done, run) else "over"


def undo(done: Done, run: RunState, newest: Mapping[Target, Done]) -> tuple[Order | None, str]:
    """What takes the action back, or None and why nothing does."""
    if done.kind in FOR_GOOD:
        return None, f"{done.words} cannot be undone: {FOR_GOOD[done.kind]}"
    if standing(done, run, newest) != "in force":
        return None, f"{done.words} is not in force: there is nothing to undo"
    if done.kind == "tune":
        return _undo_tune(done)
    if done.kind == "policy":
        return _undo_switch(done)
    if done.kind == "retain" and done.value < 0:
        return _retain_again(done)
    name, extra, called = LIFTS[done.kind]
    target = {"node": done.node} if done.node != NO_NODE else {"agent": done.agent}
    return Order(name, target | extra, f"{called} {done.subject}"), ""


def _undo_tune(done: Done) -> tuple[Order | None, str]:
    if done.before is None:
        return None, f"{done.words} cannot be undone: what it was before is not known; backspace on 4 gives its default"
    policy, _, name = done.name.partition(".")
    arguments = {"policy": policy, "name": name, "value": done.before}
    return Order("tune", arguments, f"set {done.name} back to {done.before:g}"), ""


def _retain_again(done: Done) -> tuple[Order | None, str]:
    """With the budget that it had; its bias decays from the start again."""
    if not done.before:
        return None, f"{done.words} cannot be undone: what was retained before is not known; retain it again"
    arguments = {"agent": done.agent, "tokens": done.before}
    return Order("retain", arguments, f"retain {done.before:,.0f} tok of {done.subject} again"), ""


def _undo_switch(done: Done) -> tuple[Order | None, str]:
    """Who held the slot gets it back; where nobody did, plain LRU does."""
    if done.value and done.slot_mate:
        return Order("policy", {"name": done.slot_mate, "enabled": True}, f"switch {done.slot_mate} on again"), ""
    called = "off again" if done.value else "on again"
    return Order("policy", {"name": done.name, "enabled": not done.value}, f"switch {done.name} {called}"), ""


def _done(seq: int, event: AnyEvent, run: RunState, table: Table) -> Done | None:
    match event:
        case ActionTaken() if _is_person(event.by, run):
            return Done(seq, event.t_ns, event.by, event.kind, event.agent, event.node, value=event.amount,
                        before=_retained(event, run), why=event.why, ok=event.ok, said=event.result)  # fmt: skip
        case PolicySwitched() if _is_person(event.by, run):
            return Done(seq, event.t_ns, event.by, "policy", name=event.policy, value=float(event.enabled),
                        slot_mate=_slot_mate(event.policy, run, table), why=event.why)  # fmt: skip
        case TunableChanged() if _is_person(event.by, run):
            return Done(seq, event.t_ns, event.by, "tune", name=f"{event.policy}.{event.name}", value=event.value,
                        before=_value(event.policy, event.name, run, table), why=event.why)  # fmt: skip
        case CommandReceived() if event.name in ("flush", "end_session") or not event.ok:
            return _commanded(seq, event)
        case _:
            return None


def _is_person(by: str, run: RunState) -> bool:
    return by not in NOT_OPERATORS and (by not in run.policies or by == "operator")


def _commanded(seq: int, event: CommandReceived) -> Done | None:
    """A command that leaves no other event: those, and what was refused. A refused action says so itself."""
    arguments = event.arguments
    named = str(arguments.get("name", "") or arguments.get("session", ""))
    if event.name == "tune":
        named = f"{arguments.get('policy', '')}.{named}"
    node = arguments.get("node", NO_NODE)
    value = arguments.get("value", arguments.get("enabled", arguments.get("amount", 0.0)))
    amount = float(value) if isinstance(value, int | float) and abs(value) < 1e300 else 0.0  # a refused one may be any
    return Done(
        seq, event.t_ns, event.by, event.name, str(arguments.get("agent", "")),
        node if isinstance(node, int) else NO_NODE, named, amount, ok=event.ok, said=event.detail,
    )  # fmt: skip


def _value(policy: str, name: str, run: RunState, table: Table) -> float | None:
    """A tunable before it is changed: as changed in this run, else as the daemon published it."""
    changed = run.tunables.get(policy, {}).get(name)
    if changed is not None or table is None:
        return changed
    found = [t.value for p in table.policies if p.name == policy for t in p.tunables if t.name == name]
    return found[0] if found else None


def _retained(event: ActionTaken, run: RunState) -> float | None:
    """The budget that an order to stop retaining ends, None for any other order and where nothing is retained."""
    stats = run.agents.get(event.agent)
    stops = event.kind == "retain" and event.amount < 0
    return stats.retain_tokens or None if stops and stats is not None else None


def _slot_mate(policy: str, run: RunState, table: Table) -> str:
    """Who holds the slot of a policy that is about to be switched, '' if nobody else or not known."""
    slots = {one.name: one.slot for one in table.policies} if table is not None else {}
    slot = slots.get(policy, "eviction")
    on = [name for name, enabled in run.policies.items() if enabled and name != policy]
    return next((name for name in on if slot and slots.get(name, "eviction" if name != "operator" else "") == slot), "")


def _target(done: Done) -> Target:
    """What an action is about: a later one about the same replaces it. That a policy lost its slot to another one is
    seen in the state."""
    return TOGETHER.get(done.kind, done.kind), done.agent, done.node, done.name


def _holds(done: Done, run: RunState) -> bool:
    if done.kind == "tune":
        policy, _, name = done.name.partition(".")
        return run.tunables.get(policy, {}).get(name) == done.value
    if done.kind == "policy":
        return run.policies.get(done.name) == bool(done.value)
    view, stats = run.nodes.get(done.node), run.agents.get(done.agent)
    if done.node != NO_NODE:
        return view is not None and {"pin": view.pinned, "unpin": not view.pinned}.get(done.kind, True)
    if stats is None:
        return False
    return {
        "pin": stats.pinned, "unpin": not stats.pinned,
        "quarantine": stats.quarantined, "release": not stats.quarantined,
        "retain": (stats.retain_tokens > 0) == (done.value >= 0), "boost": stats.boost != 0 and done.value != 0,
    }.get(done.kind, False)  # fmt: skip


def _in_force(run: RunState) -> list[Done]:
    """What the state says is in force, as actions whose maker is not known."""
    found: list[Done] = []
    for stats in run.agents.values():
        for kind, holds, value in (
            ("pin", stats.pinned, 0.0), ("quarantine", stats.quarantined, 0.0),
            ("retain", stats.retain_tokens > 0, stats.retain_tokens), ("boost", stats.boost != 0, stats.boost),
        ):  # fmt: skip
            if holds:
                found.append(Done(-1, 0, "", kind, stats.agent, value=value, why=BEFORE))
    found += [Done(-1, 0, "", "pin", node=view.node, why=BEFORE) for view in run.nodes.values() if view.pinned]
    return found
