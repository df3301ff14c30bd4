"""What an engine and the daemon before it would tell of scripted calls: the events that policies learn from, in order.

The rules are the daemon's and the engine's own: an anchor is measured once an agent was seen, a new version of it at
its second sight; a prompt is expressed against the most similar of the latest requests; how a response finished is told
when it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from radixdeck.daemon.engine.sketch import Recent
from radixdeck.policies.events import (
    AnchorMeasured,
    AnswerGiven,
    EngineEvent,
    EngineLoadSampled,
    NextAgentHinted,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
    ToolCalled,
)
from radixdeck.policies.tree.ownership import Ownership, Who
from radixdeck.storage.atoms import PrefixHasher, length
from radixdeck.storage.demand import Request
from radixdeck.storage.streams import NO_REQUEST, Content, Moment, Stream
from radixdeck.storage.trie import Hashes

from .stream_spec import Call
from .workloads import WorkloadError

BEGIN_NS = 1_000_000_000
MEASURING_NS = 250_000_000
"""What rendering an anchor twice takes the daemon, about."""
TELLING_NS = 2_000_000
"""From a finish in the engine to the daemon's word on how the response ended."""
SAMPLE_NS = 1_000_000_000


@dataclass(frozen=True, order=True)
class _Step:
    """`rank` orders what happens at one time: starts before inserts before finishes before what is told."""

    t_ns: int
    rank: int
    number: int
    agent: str = ""
    tokens: int = 0


START, PREFILLED, FINISH, TOLD, MEASURED, SAMPLED = range(6)


def tell(name: str, calls: Sequence[Call], *, tells_ends: bool = False, tells_next: bool = False) -> Stream:
    """The stream of these calls; `tells_ends`, `tells_next`: whether callers say when a session is over, and which
    agent comes next. Raises WorkloadError if there are no calls."""
    if not calls:
        raise WorkloadError(f"{name}: no requests")
    ordered = sorted(calls, key=lambda call: call.start_s)
    return _Telling(name, ordered, tells_ends=tells_ends, tells_next=tells_next).stream()


class _Telling:
    """One stream in the making."""

    def __init__(self, name: str, calls: Sequence[Call], *, tells_ends: bool, tells_next: bool) -> None:
        self._name, self._calls = name, calls
        self._tells_ends, self._tells_next = tells_ends, tells_next
        self._hasher = PrefixHasher()
        self._requests = [self._request(number, call) for number, call in enumerate(calls)]
        self._moments: list[Moment] = []
        self._ownership = Ownership()
        self._recent = Recent()
        self._sights: Counter[tuple[str, str]] = Counter()
        self._measured: dict[tuple[str, str], int] = {}

    def _request(self, number: int, call: Call) -> Request:
        start, prefilled, finish = (
            BEGIN_NS + int(at_s * 1e9) for at_s in (call.start_s, call.prefilled_s, call.finish_s)
        )
        hashes = self._hasher.hashes(call.prompt + call.output)
        return Request(f"r{number}", hashes, length(call.prompt), start, prefilled, finish, agent=call.agent)

    def stream(self) -> Stream:
        for step in self._steps():
            match step.rank:
                case 0:
                    self._dispatched(step)
                case 1:
                    self._inserted(step, "prompt")
                case 2:
                    self._inserted(step, "finish")
                case 3:
                    self._told(step)
                case 4:
                    self._anchor(step.t_ns, step.agent, step.tokens, exact=True, rid="")
                case _:
                    self._sampled(step)
        contents = [Content(c.agent, c.session, c.prompt, c.output, c.anchor_atoms) for c in self._calls]
        return Stream(self._name, self._requests, contents, self._moments, self._hasher)

    def _steps(self) -> list[_Step]:
        steps: list[_Step] = []
        for number, request in enumerate(self._requests):
            times = (request.start, request.inserted, request.finish, request.finish + TELLING_NS)
            steps += [_Step(t_ns, rank, number) for rank, t_ns in enumerate(times)]
            steps += self._measurement(number, request)
        return sorted(steps + self._samples())

    def _measurement(self, number: int, request: Request) -> list[_Step]:
        """See daemon.anchors: a new agent is measured at first sight, a new version of a known one at its second."""
        call = self._calls[number]
        key = (call.agent, call.fingerprint)
        self._sights[key] += 1
        known = any(agent == call.agent for agent, _ in self._measured)
        if not call.agent or not call.fingerprint or key in self._measured or (known and self._sights[key] < 2):
            return []
        self._measured[key] = request.start + MEASURING_NS
        tokens = length(call.prompt[: call.anchor_atoms])
        return [_Step(request.start + MEASURING_NS, MEASURED, number, call.agent, tokens)]

    def _samples(self) -> list[_Step]:
        """Once a second while anything runs, and when it stops; `number`: how many run."""
        changes = sorted(
            [(request.start, 1) for request in self._requests] + [(request.finish, -1) for request in self._requests]
        )
        samples: list[_Step] = []
        running, due_ns = 0, 0
        for t_ns, change in changes:
            while running and due_ns < t_ns:
                samples.append(_Step(due_ns, SAMPLED, running))
                due_ns += SAMPLE_NS
            running += change
            if not running:
                samples.append(_Step(t_ns, SAMPLED, 0))
            due_ns = max(due_ns, t_ns)
        return samples

    # ---- what is said ------------------------------------------------------------------------------------------------

    def _say(self, event: EngineEvent, number: int = NO_REQUEST) -> None:
        self._moments.append((event, number))

    def _dispatched(self, step: _Step) -> None:
        call, request = self._calls[step.number], self._requests[step.number]
        known_ns = self._measured.get((call.agent, call.fingerprint))
        known = known_ns is not None and known_ns < step.t_ns
        anchor = length(call.prompt[: call.anchor_atoms]) if known else 0
        who = Who(request.rid, call.agent, call.session, anchor=anchor)
        prompt = request.hashes[: request.prompt_tokens]
        self._meet(who, prompt, step.t_ns)
        base = self._recent.best(prompt, call.agent)
        self._recent.keep(request.rid, call.agent, call.session, prompt)
        self._say(
            PrefixMatched(
                t_ns=step.t_ns, rid=request.rid, agent=call.agent, session=call.session, prompt_tokens=len(prompt),
                cached_tokens=0, anchor_tokens=anchor or self._ownership.anchors.get(call.agent, 0),
                base_rid=base.rid, base_tokens=base.tokens, tail=prompt[base.tokens :].tobytes(),
            ),
            step.number,
        )  # fmt: skip

    def _meet(self, who: Who, prompt: Hashes, t_ns: int) -> None:
        """See daemon.engine.requests: what a request tells of its agent's anchor."""
        new = self._ownership.is_new(who)
        self._ownership.meet(who)
        if who.anchor and self._ownership.set_anchor(who.agent, who.anchor):
            self._anchor(t_ns, who.agent, who.anchor, exact=True, rid=who.rid)
        elif who.session and new:
            shared = self._recent.shared_with_other_sessions(prompt, who.agent, who.session)
            if self._ownership.learn_anchor(who.agent, shared):
                self._anchor(t_ns, who.agent, self._ownership.anchors[who.agent], exact=False, rid=who.rid)

    def _anchor(self, t_ns: int, agent: str, tokens: int, *, exact: bool, rid: str) -> None:
        if exact:
            self._ownership.set_anchor(agent, tokens)
        self._say(AnchorMeasured(t_ns=t_ns, agent=agent, tokens=tokens, exact=exact, rid=rid))

    def _inserted(self, step: _Step, phase: Literal["prompt", "finish"]) -> None:
        call, request = self._calls[step.number], self._requests[step.number]
        whole = phase == "finish"
        if whole:
            self._recent.keep(request.rid, call.agent, call.session, request.hashes)
        self._say(
            PrefixInserted(
                t_ns=step.t_ns, rid=request.rid, phase=phase, new_tokens=0,
                total_tokens=len(request.hashes) if whole else request.prompt_tokens,
                output=request.hashes[request.prompt_tokens :].tobytes() if whole else b"",
            ),
            step.number,
        )  # fmt: skip

    def _told(self, step: _Step) -> None:
        call, rid = self._calls[step.number], self._requests[step.number].rid
        if call.tool:
            told = ToolCalled(t_ns=step.t_ns, rid=rid, agent=call.agent, session=call.session, tools=(call.tool,))
            self._say(told)
        else:
            self._say(AnswerGiven(t_ns=step.t_ns, rid=rid, agent=call.agent, session=call.session, closes=call.closes))
        if call.next_agent and self._tells_next and call.session:
            self._say(NextAgentHinted(t_ns=step.t_ns, session=call.session, agent=call.next_agent, rid=rid))
        if call.last and self._tells_ends and call.session:
            self._ownership.end_session(call.session)
            self._say(SessionEnded(t_ns=step.t_ns, session=call.session))

    def _sampled(self, step: _Step) -> None:
        """Tokens and capacity are the model's to fill in."""
        self._say(
            EngineLoadSampled(
                t_ns=step.t_ns, running=step.number, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=0
            )
        )
