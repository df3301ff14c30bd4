"""An anchor is prefilled once, and its users run while it is there: who follows waits for who computes, and of those
who wait the users of what is in the cache go first.

SGLang's order fcfs (its default) computes a prefix that is not cached once for every request of a batch: all are looked
up before any is inserted. Its order lpm puts such requests last, but only while less than 33 tokens of theirs are
cached, which one preamble that agents share undoes, and takes them into the same batch if there is room. So this waits
at the door, where it is known whose anchor is in the cache: the second request of an agent follows when the first has
been computed that far, or has turned out to find it. What SGLang orders itself is left to it, under either order.

While more than `ahead` requests have not been begun by the engine, the door is the queue, and the order there is that
of longest prefix match taken by agents: first those with requests in flight, whose anchors are held in any case, then
those whose anchors are cached, then the others. It is bounded as in DLPM (2501.14312), by time in place of deficits:
who has waited for `patience_s` goes before everybody, so nobody is overtaken by anyone who came later than that.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from .bounded import Bounded
from .door.unbegun import Unbegun
from .doorkeeping import PASS, Asked, BaseDoorkeeper, Came, DoorFact, Entered, Left, Matched, Verdict
from .events import (
    AnchorMeasured,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    EventsDropped,
    NodeEvicted,
    PrefixInserted,
    PrefixMatched,
)
from .parameters import Tunable
from .primitives import BasePolicy

MAX_AGENTS = 8_192
MAX_COMPUTING = 8_192
ENOUGH = 0.9
"""Share of an anchor that counts as all of it: caches match whole pages, and never a prompt's last token."""
AGED = 0.0
IN_FLIGHT, CACHED, COLD = (Verdict(order=(place,)) for place in (1.0, 2.0, 3.0))


class _Anchor(msgspec.Struct):
    """An agent's anchor. `tokens`: its length, 0 if not known; `leader`: the request that computes it, or will find out
    that it is there; `since_s`: since when it is inside."""

    tokens: int = 0
    cached: bool = False
    leader: str = ""
    since_s: float = 0.0


class _Computing(msgspec.Struct, frozen=True):
    """A request that computes an anchor: that is there once `needed_tokens` of its prompt are."""

    agent: str
    needed_tokens: float


class BatchShaping(BaseDoorkeeper, BasePolicy):
    """Holds who would compute an anchor a second time, and groups who waits by what is cached."""

    name: ClassVar[str] = "batch_shaping"
    doc: ClassVar[str] = "An anchor is computed once: its other users wait for that, and go first while it is cached."
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("ahead", 4.0, 1.0, 4096.0, "requests", "Let in and not begun by the engine before anybody waits"),
        Tunable("least_tokens", 128.0, 1.0, 1e6, "tokens", "Shorter anchors are not waited for"),
        Tunable("follow_s", 3.0, 0.05, 60.0, "s", "Longest wait for another request to compute an anchor"),
        Tunable("patience_s", 5.0, 0.1, 600.0, "s", "Who has waited so long goes before everybody"),
        Tunable("longest_hold_s", 120.0, 1.0, 3600.0, "s", "After this a caller is told to come again"),
    )
    notes: ClassVar[tuple[type[DoorFact], ...]] = (Came, Entered, Matched, Left)
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (
        PrefixMatched, PrefixInserted, NodeEvicted, CacheFlushed, EngineStarted, AnchorMeasured,
        EventsDropped,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._line = Unbegun()
        self._inside: dict[str, str] = {}
        self._of_agent: dict[str, int] = {}
        self._forget()

    def _forget(self) -> None:
        """Nothing is known of any anchor, nor cached."""
        self._anchors: Bounded[str, _Anchor] = Bounded(MAX_AGENTS)
        self._computing: Bounded[str, _Computing] = Bounded(MAX_COMPUTING)

    # ---- the door ----------------------------------------------------------------------------------------------------

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        line = self._line
        if held := line.full(int(self.tunables["ahead"]), "users of what is cached go first"):
            return held
        anchor = self._anchors.get(asked.agent)
        leader = anchor.leader if anchor is not None else ""
        if not leader and line.waiting < 2:
            return PASS
        came_s = line.came_s(asked.rid, now_s)
        aged_s = came_s + self.tunables["patience_s"]
        if now_s >= aged_s:
            return Verdict(order=(AGED, came_s))
        if (
            anchor is not None
            and leader
            and now_s < (until_s := min(aged_s, anchor.since_s + self.tunables["follow_s"]))
        ):
            why = f"the anchor of {asked.agent} is being computed for another request; this one follows"
            return Verdict(kind="hold", why=why, until_s=until_s, whole_agent=True)
        if asked.agent in self._of_agent:
            return IN_FLIGHT
        return CACHED if anchor is not None and anchor.cached else COLD

    def notice(self, fact: DoorFact) -> None:
        self._line.notice(fact)
        if isinstance(fact, Entered):
            self._entered(fact.asked, fact.t_s)
        elif isinstance(fact, Left):
            self._left(fact.asked)

    def _entered(self, asked: Asked, now_s: float) -> None:
        self._inside[asked.rid] = asked.agent
        self._of_agent[asked.agent] = self._of_agent.get(asked.agent, 0) + 1
        anchor = self._anchor(asked.agent)
        if not anchor.cached:
            self._lead(anchor, asked.rid, asked.about_tokens, now_s)

    def _left(self, asked: Asked) -> None:
        if self._inside.pop(asked.rid, None) is None:
            return
        count = self._of_agent.pop(asked.agent) - 1
        if count:
            self._of_agent[asked.agent] = count
        anchor = self._anchor(asked.agent)
        if anchor.leader == asked.rid:  # it ended before its prompt was computed, or nobody says what is cached
            anchor.leader = ""

    def _lead(self, anchor: _Anchor, rid: str, prompt_tokens: int, now_s: float) -> None:
        """Somebody inside computes this anchor, as far as is known; if nobody does already, others may follow. Nobody
        does where the engine would not say when it is computed, or where: on another replica it would be again."""
        if (
            not (anchor.leader or self._line.silent)
            and (anchor.tokens or prompt_tokens) >= self.tunables["least_tokens"]
        ):
            anchor.leader, anchor.since_s = rid, now_s

    def _anchor(self, agent: str) -> _Anchor:
        return self._anchors.get(agent) or self._anchors.put(agent, _Anchor())

    # ---- the cache ---------------------------------------------------------------------------------------------------

    def observe(self, event: EngineEvent) -> None:
        self._line.observe(event)
        match event:
            case PrefixMatched():
                self._matched(event)
            case PrefixInserted():
                self._inserted(event)
            case NodeEvicted(to_host=False):
                self._evicted(event)
            case AnchorMeasured():
                self._anchor(event.agent).tokens = event.tokens
            case CacheFlushed():  # told too where the tree is told anew: who computes an anchor still does
                for agent in tuple(self._anchors):
                    self._anchor(agent).cached = False
            case EngineStarted():
                self._forget()
            case _:
                pass

    def _matched(self, event: PrefixMatched) -> None:
        anchor = self._anchor(event.agent)
        anchor.tokens = event.anchor_tokens or anchor.tokens
        needed = ENOUGH * (anchor.tokens or event.prompt_tokens)
        if event.cached_tokens + event.host_tokens >= needed:
            self._is_there(anchor)
            return
        anchor.cached = False
        self._computing.put(event.rid, _Computing(event.agent, needed))
        if event.rid in self._inside:  # nobody follows a warm-up: it makes way for whoever comes
            self._lead(anchor, event.rid, event.prompt_tokens, event.t_ns / 1e9)

    def _inserted(self, event: PrefixInserted) -> None:
        computing = self._computing.get(event.rid)
        if computing is not None and event.total_tokens >= computing.needed_tokens:
            self._computing.pop(event.rid)
            self._is_there(self._anchor(computing.agent))

    def _evicted(self, event: NodeEvicted) -> None:
        for agent in event.agents:
            anchor = self._anchors.get(agent)
            if anchor is not None and event.start < anchor.tokens:
                anchor.cached = False

    def _is_there(self, anchor: _Anchor) -> None:
        anchor.cached, anchor.leader = True, ""
