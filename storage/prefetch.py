"""Warm-ups in the modelled engine: asked of the policy while there is time, preempted by real work, waste counted.

The daemon asks when the last request or warm-up is through, and then at growing intervals while none is under way; so
does this. A warm-up takes the time that its missing tokens take to compute; one that is preempted leaves nothing. A
chunk of a prefill that has begun cannot be stopped: what is left of it is charged to the request that came.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import msgspec

from radixdeck.policies.events import ActionTaken, EngineEvent, PrefixInserted, PrefixMatched
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import PREEMPTED, Action

from .demand import Request
from .model_cache import CHUNK_TOKENS
from .model_engine import ModelEngine
from .prefetch_paths import Paths
from .prefetch_waste import Waste
from .streams import Stream
from .trie import Hashes

SETTLE_NS = 10_000_000
"""What the daemon waits after a request before it asks its policies."""
PERIOD_NS = 1_000_000_000
"""How often it asks in the end while nothing happens; at first after SETTLE_NS, then after twice as long each time."""


class Prefetch(msgspec.Struct, frozen=True, kw_only=True):
    """`when`: `idle`, while no request is under way, as the daemon does it; `spare`, while no prompt is being computed
    though others decode: the generous assumption that decoding leaves the time, or that a host tier has what is loaded.
    `tokens_per_s`: speed of computing a prompt, or of loading it; `overhead_s`: what a warm-up takes beside that."""

    when: Literal["idle", "spare"] = "idle"
    tokens_per_s: float = 8_000.0
    overhead_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.tokens_per_s > 0:
            raise ValueError(f"tokens_per_s: {self.tokens_per_s} is not above 0")


class Warmed(msgspec.Struct, kw_only=True):
    """Warm-ups `asked` for, of which `paths` of a session; tokens that they put into the cache, and how many of those a
    request found there; `lost_tokens`: computed when real work preempted them; `delay_s`: what real work waited in all.
    """

    asked: int = 0
    paths: int = 0
    done: int = 0
    preempted: int = 0
    refused: int = 0
    tokens: int = 0
    used_tokens: int = 0
    lost_tokens: int = 0
    delay_s: float = 0.0

    @property
    def wasted_tokens(self) -> int:
        """Computed for nothing."""
        return self.tokens - self.used_tokens + self.lost_tokens


class UnderWay(msgspec.Struct, frozen=True):
    """A warm-up that runs."""

    action: Action
    by: str
    rid: str
    hashes: Hashes
    cached_tokens: int
    begun_ns: int
    end_ns: int


class Prefetching:
    """Follows one evaluation: `until` before each of its moments, `after` behind it."""

    def __init__(self, stream: Stream, host: PolicyHost, engine: ModelEngine, how: Prefetch) -> None:
        self.warmed = Warmed()
        self._host, self._engine, self._how = host, engine, how
        self._paths = Paths(stream)
        self._waste = Waste()
        self._requests = stream.requests
        self._computing = 0
        self._running = 0
        self._next_ns = self._asked_ns = 0
        self._wait_ns = SETTLE_NS
        self._waiting: deque[tuple[str, Action]] = deque()
        self._now: UnderWay | None = None

    def until(self, event: EngineEvent) -> None:
        """What happens before `event` does. A request that comes takes the engine back."""
        while self._step(event.t_ns):
            pass
        if isinstance(event, PrefixMatched):
            self._waiting.clear()
            if self._now is not None:
                self._preempt(self._now, event.t_ns)

    def _step(self, before_ns: int) -> bool:
        """One thing that happens before a time, if any does."""
        if self._now is not None:
            if self._now.end_ns > before_ns:
                return False
            self._complete(self._now)
        elif self._waiting:
            self._begin(*self._waiting.popleft())
        elif self._allowed and self._next_ns <= before_ns:
            self._ask()
        else:
            return False
        return True

    @property
    def _allowed(self) -> bool:
        return not (self._running if self._how.when == "idle" else self._computing)

    def after(self, event: EngineEvent, number: int) -> None:
        """`event` happened."""
        match event:
            case PrefixMatched():
                self._running += 1
                self._computing += 1
                found = self._engine.cached_tokens[number]
                self.warmed.used_tokens += self._waste.asked(event.agent, self._requests[number].hashes, found)
            case PrefixInserted(phase="prompt"):
                self._computing -= 1
                self._soon(event.t_ns)
            case PrefixInserted(phase="finish"):
                self._running -= 1
                self._soon(event.t_ns)
            case _:
                pass
        self._paths.observe(event, number)

    def _soon(self, now_ns: int) -> None:
        if self._allowed:
            self._next_ns, self._wait_ns = now_ns + SETTLE_NS, SETTLE_NS

    # ---- one warm-up -------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        actions = self._host.act(self._next_ns / 1e9)
        self._waiting.extend((by, action) for by, action in actions if action.kind == "warm")
        self._asked_ns = self._next_ns
        self._wait_ns = min(2 * self._wait_ns, PERIOD_NS)
        self._next_ns += self._wait_ns

    def _begin(self, by: str, action: Action) -> None:
        now_ns = self._asked_ns
        self.warmed.asked += 1
        self.warmed.paths += bool(action.session)
        hashes = self._paths.path(action.session, action.agent) if action.session else self._paths.anchor(action.agent)
        if hashes is None or not len(hashes):
            self.warmed.refused += 1
            self._say(action, by, now_ns, ok=False, result="not known what to prefill")
            return
        hashes = hashes[: int(action.amount) or None]
        number = -1 - self.warmed.asked
        rid = f"warm{self.warmed.asked}"
        self._engine.matched(
            number, self._match(action, rid, hashes, now_ns), _request(rid, hashes, now_ns, action.agent)
        )
        cached = self._engine.cached_tokens[number]
        missing = len(hashes) - cached
        cost_s = self._how.overhead_s + (missing / self._how.tokens_per_s if missing > 1 else 0.0)
        self._now = UnderWay(action, by, rid, hashes, cached, now_ns, now_ns + int(cost_s * 1e9))

    def _match(self, action: Action, rid: str, hashes: Hashes, now_ns: int) -> PrefixMatched:
        return PrefixMatched(
            t_ns=now_ns, rid=rid, agent=action.agent, session=action.session, prompt_tokens=len(hashes),
            cached_tokens=0, anchor_tokens=self._paths.anchor_tokens.get(action.agent, 0), warm=True,
            tail=hashes.tobytes(),
        )  # fmt: skip

    def _complete(self, now: UnderWay) -> None:
        total, end_ns = len(now.hashes), now.end_ns
        missing = total - now.cached_tokens
        for phase in ("prompt", "finish"):
            told = PrefixInserted(t_ns=end_ns, rid=now.rid, phase=phase, total_tokens=total, new_tokens=0)
            self._engine.inserted(told, last=phase == "finish")
        self.warmed.done += 1
        if missing > 1:
            self.warmed.tokens += missing
            self._waste.warmed(now.action.agent, now.hashes, now.cached_tokens)
        self._over(end_ns)
        self._say(now.action, now.by, end_ns, ok=True, result=f"{total} tokens warm", tokens=total)

    def _preempt(self, now: UnderWay, t_ns: int) -> None:
        self._engine.aborted(now.rid, t_ns)
        self.warmed.preempted += 1
        done_s, whole_s = (t_ns - now.begun_ns) / 1e9, (now.end_ns - now.begun_ns) / 1e9
        computed = int(max(0.0, done_s - self._how.overhead_s) * self._how.tokens_per_s)
        self.warmed.lost_tokens += min(computed, len(now.hashes) - now.cached_tokens)
        chunk_s = CHUNK_TOKENS / self._how.tokens_per_s
        self.warmed.delay_s += min(chunk_s - done_s % chunk_s, whole_s - done_s)
        self._over(t_ns)
        self._say(now.action, now.by, t_ns, ok=False, result=PREEMPTED)

    def _over(self, t_ns: int) -> None:
        self._now = None
        self._asked_ns = t_ns
        self._next_ns, self._wait_ns = t_ns + SETTLE_NS, SETTLE_NS

    def _say(self, action: Action, by: str, t_ns: int, *, ok: bool, result: str, tokens: int = 0) -> None:
        self._engine.heard(
            ActionTaken(
                t_ns=t_ns, id=f"warm{self.warmed.asked}", kind="warm", agent=action.agent, session=action.session,
                amount=action.amount, by=by, why=action.why, ok=ok, result=result, tokens=tokens,
            )
        )  # fmt: skip


def _request(rid: str, hashes: Hashes, now_ns: int, agent: str) -> Request:
    return Request(rid, hashes, len(hashes), now_ns, now_ns, now_ns, agent=agent, warm=True)
