"""A modelled server behind a real DoorHost: a few running slots, SGLang's queue by priority, a cache of whole anchors.

What it does with the host's rulings is what the waiting room does: of each line the longest waiting that may come in is
asked about, and of those the lowest order goes first.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field

from radixdeck.policies.door.host import DoorHost, Ruling
from radixdeck.policies.doorkeeping import Asked, Came, Entered, Left, Matched
from radixdeck.policies.events import NodeEvicted, PrefixInserted, PrefixMatched

PREFILL_TOKENS_PER_S = 2_000.0
DECODE_TOKENS_PER_S = 50.0


@dataclass
class Step:
    """A request. `tail`: its prompt beyond the anchor."""

    agent: str
    session: str
    tail: int = 100
    output: int = 10


@dataclass
class Seen:
    """What became of a request. `overtaken_s`: of those who came later and were let in earlier while it could have
    been, how long it had waited by then at most."""

    step: Step
    came_s: float
    entered_s: float = -1.0
    begun_s: float = -1.0
    first_s: float = -1.0
    ended_s: float = -1.0
    overtaken_s: float = 0.0


@dataclass
class Server:
    """`anchors`: length by agent; `cached_agents`: anchors that the cache has room for; `priorities`: SGLang's queue
    goes by them. Prefills are done one after the other; an anchor is found by those that begin when its is over."""

    host: DoorHost
    slots: int = 2
    anchors: dict[str, int] = field(default_factory=dict)
    cached_agents: int = 10**6
    priorities: bool = False
    now_s: float = 0.0
    computed: int = 0
    seen: dict[str, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._agenda: list[tuple[float, int, str, str]] = []
        self._number = 0
        self._todo: dict[str, list[Step]] = {}
        self._door: dict[str, Asked] = {}
        self._asked: dict[str, Asked] = {}
        self._queue: list[tuple[int, int, str]] = []
        self._running = 0
        self._prefill_free_s = 0.0
        self._cache: OrderedDict[str, bool] = OrderedDict()

    def add(self, at_s: float, steps: list[Step]) -> None:
        """Steps of which the first comes then and each other one when that before it is through."""
        self._later(at_s, "come", self._leave(steps))

    def _leave(self, steps: list[Step]) -> str:
        """A name for what is left to do."""
        self._number += 1
        self._todo[str(self._number)] = steps
        return str(self._number)

    def run(self) -> Server:
        """Until nothing is left to do."""
        while self._agenda:
            self.now_s, _, what, name = heapq.heappop(self._agenda)
            getattr(self, f"_{what}")(name)
            self._let_in()
        return self

    def session_s(self) -> dict[str, float]:
        """How long each session took from its first request to its last answer."""
        began: dict[str, float] = {}
        ended: dict[str, float] = {}
        for one in self.seen.values():
            began[one.step.session] = min(one.came_s, began.get(one.step.session, one.came_s))
            ended[one.step.session] = max(one.ended_s, ended.get(one.step.session, 0.0))
        return {session: ended[session] - began[session] for session in began}

    def ttfts_s(self) -> list[float]:
        return [one.first_s - one.came_s for one in self.seen.values()]

    def _later(self, at_s: float, what: str, name: str) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (at_s, self._number, what, name))

    def _come(self, name: str) -> None:
        step, *rest = self._todo.pop(name)
        rid = f"r{len(self.seen)}"
        self.seen[rid] = Seen(step, self.now_s)
        if rest:
            self._todo[rid] = rest
        prompt = self.anchors.get(step.agent, 0) + step.tail
        asked = Asked(rid=rid, agent=step.agent, session=step.session, about_tokens=prompt)
        self.host.notice(Came(t_s=self.now_s, asked=asked))
        self._door[rid] = asked

    def _look(self, _: str) -> None:
        """Somebody was held until now."""

    def _let_in(self) -> None:
        while passing := self._passing():
            ruling, asked = min(passing, key=lambda pair: (pair[0].order, self.seen[pair[1].rid].came_s))
            for _, other in passing:
                one = self.seen[other.rid]
                if one.came_s < self.seen[asked.rid].came_s:
                    one.overtaken_s = max(one.overtaken_s, self.now_s - one.came_s)
            del self._door[asked.rid]
            self.seen[asked.rid].entered_s = self.now_s
            self.host.notice(Entered(t_s=self.now_s, asked=asked))
            self._number += 1
            priority = (ruling.verdict.priority or 0) if self.priorities else 0
            heapq.heappush(self._queue, (-priority, self._number, asked.rid))
            self._asked[asked.rid] = asked
            self._later(self.now_s, "begin", "")

    def _passing(self) -> list[tuple[Ruling, Asked]]:
        lines: set[tuple[str, str]] = set()
        passing: list[tuple[Ruling, Asked]] = []
        for asked in self._door.values():
            line = asked.agent, asked.session if self.host.orders_sessions else ""
            if line in lines:
                continue
            ruling = self.host.judge(asked, self.now_s)
            if ruling.verdict.kind == "hold":
                if ruling.verdict.until_s is not None:
                    self._later(ruling.verdict.until_s, "look", "")
            else:
                lines.add(line)
                passing.append((ruling, asked))
        return passing

    def _begin(self, _: str) -> None:
        while self._queue and self._running < self.slots:
            rid = heapq.heappop(self._queue)[2]
            self._running += 1
            self._dispatch(rid)

    def _dispatch(self, rid: str) -> None:
        one, asked = self.seen[rid], self._asked[rid]
        agent, anchor = one.step.agent, self.anchors.get(one.step.agent, 0)
        one.begun_s = self.now_s
        cached, prompt = (anchor if agent in self._cache else 0), anchor + one.step.tail
        if cached:
            self._cache.move_to_end(agent)
        self.computed += prompt - cached
        t_ns, counts = round(self.now_s * 1e9), {"prompt_tokens": prompt, "cached_tokens": cached}
        self.host.notice(Matched(t_s=self.now_s, asked=asked, **counts))
        who = {"rid": rid, "agent": agent, "session": one.step.session}
        self.host.follow(PrefixMatched(t_ns=t_ns, anchor_tokens=anchor, **who, **counts))
        prefilled_s = max(self.now_s, self._prefill_free_s) + (prompt - cached) / PREFILL_TOKENS_PER_S
        self._prefill_free_s = one.first_s = prefilled_s
        self._later(prefilled_s, "insert", rid)
        self._later(prefilled_s + one.step.output / DECODE_TOKENS_PER_S, "end", rid)

    def _insert(self, rid: str) -> None:
        one, t_ns = self.seen[rid], round(self.now_s * 1e9)
        agent = one.step.agent
        total = self.anchors.get(agent, 0) + one.step.tail
        self.host.follow(PrefixInserted(t_ns=t_ns, rid=rid, phase="prompt", total_tokens=total, new_tokens=total))
        self._cache[agent] = True
        self._cache.move_to_end(agent)
        while len(self._cache) > self.cached_agents:
            gone, _ = self._cache.popitem(last=False)
            tokens = self.anchors.get(gone, 0)
            self.host.follow(NodeEvicted(t_ns=t_ns, node=1, tokens=tokens, start=0, agents=(gone,), role="anchor"))

    def _end(self, rid: str) -> None:
        one = self.seen[rid]
        one.ended_s = self.now_s
        self._running -= 1
        counts = {
            "prompt_tokens": self.anchors.get(one.step.agent, 0) + one.step.tail,
            "output_tokens": one.step.output,
        }
        self.host.notice(Left(t_s=self.now_s, asked=self._asked[rid], entered=True, **counts))
        if rid in self._todo:
            self._later(self.now_s, "come", rid)
        self._later(self.now_s, "begin", "")
