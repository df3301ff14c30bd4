"""A believable run for the tests of the console: events of a small cache under pressure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState, fold

T0_NS = 1_763_800_000_000_000_000
CAPACITY = 4_000
PREAMBLE = 64
ANCHORS = {"planner": 412, "coder": 520, "critic": 300, "tester": 260, "writer": 340, "search[web]": 220}
NODE = "box-1"
RUN = "box-1-1f2e3d4c"


@dataclass
class Held:
    parent: int
    start: int
    tokens: int
    agent: str
    role: e.Role
    session: str
    used_s: float


@dataclass
class Cache:
    """Just enough of a radix cache to emit streams that could have happened: leaf-wise LRU with anchors apart."""

    t_s: float = 0.0
    events: list[e.AnyEvent] = field(default_factory=list)
    nodes: dict[int, Held] = field(default_factory=dict)
    sharers: list[str] = field(default_factory=list)
    next_node: int = 1
    next_rid: int = 1

    @property
    def t_ns(self) -> int:
        return T0_NS + int(self.t_s * 1e9)

    @property
    def used(self) -> int:
        return sum(held.tokens for held in self.nodes.values())

    def emit(self, of: type[e.Event], /, **fields: Any) -> None:
        self.events.append(of(t_ns=self.t_ns, **fields))  # type: ignore[arg-type]

    def find(self, parent: int, agent: str, role: e.Role, session: str) -> int | None:
        found = (
            n for n, h in self.nodes.items() if (h.parent, h.agent, h.role, h.session) == (parent, agent, role, session)
        )
        return next(found, None)

    def add(self, parent: int, start: int, tokens: int, agent: str, role: e.Role, session: str, rid: str) -> int:
        self.make_room(tokens, agent, rid, parent)
        node, self.next_node = self.next_node, self.next_node + 1
        self.nodes[node] = Held(parent, start, tokens, agent, role, session, self.t_s)
        self.emit(
            e.NodeAdded,
            node=node,
            parent=parent,
            start=start,
            tokens=tokens,
            agent=agent,
            session=session,
            role=role,
            rid=rid,
        )
        return node

    def make_room(self, tokens: int, by_agent: str, by_rid: str, keep: int) -> None:
        locked = {keep}
        while keep in self.nodes:
            keep = self.nodes[keep].parent
            locked.add(keep)
        while self.used + tokens > CAPACITY:
            parents = {held.parent for held in self.nodes.values()} | locked
            leaves = [n for n in self.nodes if n not in parents]
            node = min(leaves, key=lambda n: (self.nodes[n].role == "anchor", self.nodes[n].used_s, n))
            oldest = min(leaves, key=lambda n: (self.nodes[n].used_s, n))
            held = self.nodes.pop(node)
            self.emit(
                e.NodeEvicted,
                node=node,
                tokens=held.tokens,
                start=held.start,
                agents=(held.agent,),
                role=held.role,
                session=held.session,
                by_rid=by_rid,
                by_agent=by_agent,
                score=0.02,
                parts={"rate_per_s": 0.02, "back_in_s": 31.0},
                idle_s=self.t_s - held.used_s,
                instead=oldest if oldest != node else e.NO_NODE,
                instead_agent=self.nodes[oldest].agent if oldest != node else "",
            )

    def sample_load(self, running: int) -> None:
        used = self.used
        self.emit(
            e.EngineLoadSampled, running=running, waiting=0, used_tokens=used, evictable_tokens=used,
            capacity_tokens=CAPACITY,
        )  # fmt: skip

    def dispatch(self, agent: str, session: str, history: int) -> None:
        """One request of an agent in a session that has `history` tokens so far."""
        rid, self.next_rid = f"r{self.next_rid}", self.next_rid + 1
        anchor = ANCHORS[agent]
        self.emit(e.RequestArrived, rid=rid, agent=agent, session=session, declared=True, stream=True)
        self.t_s += 0.01
        path = [self.find(0, "", "shared", "")]
        path.append(self.find(path[-1], agent, "anchor", "") if path[-1] else None)
        path.append(self.find(path[-1], agent, "private", session) if path[-1] else None)
        found = [node for node in path if node is not None]
        cached = sum(self.nodes[node].tokens for node in found)
        for node in found:
            self.nodes[node].used_s = self.t_s
        prompt = PREAMBLE + anchor + history
        self.emit(
            e.PrefixMatched,
            rid=rid,
            agent=agent,
            session=session,
            prompt_tokens=prompt,
            cached_tokens=min(cached, prompt - 1),
            anchor_tokens=PREAMBLE + anchor,
            node=found[-1] if found else e.NO_NODE,
        )
        self.t_s += 0.002 * (prompt - min(cached, prompt - 1)) / 10
        shared = path[0] or self.add(0, 0, PREAMBLE, "", "shared", "", rid)
        if agent not in self.sharers:
            self.sharers.append(agent)
            self.emit(e.NodeOwned, node=shared, agents=tuple(sorted(self.sharers)), role="shared")
        own = path[1] or self.add(shared, PREAMBLE, anchor, agent, "anchor", "", rid)
        if path[1] is None:
            self.emit(e.AnchorMeasured, agent=agent, tokens=PREAMBLE + anchor)
        if path[2] is None:
            self.add(own, PREAMBLE + anchor, history, agent, "private", session, rid)
        self.emit(e.PrefixInserted, rid=rid, phase="prompt", total_tokens=prompt, new_tokens=max(0, prompt - cached))
        self.emit(e.FirstTokenSent, rid=rid, ttft_s=0.04 + 0.0004 * max(0, prompt - cached))
        self.sample_load(running=1)
        self.t_s += 0.2
        self.emit(
            e.RequestFinished,
            rid=rid,
            agent=agent,
            session=session,
            status=200,
            finish="stop",
            latency_s=0.3,
            prompt_tokens=prompt,
            output_tokens=24,
            streamed=True,
        )
        self.emit(e.AnswerGiven, rid=rid, agent=agent, session=session)
        self.t_s += 0.15


def run_events(dispatches: int = 60) -> list[e.AnyEvent]:
    """A run of six agents in four sessions, with orders, a refusal and a switch of policy in it."""
    cache = Cache()
    cache.emit(
        e.EngineStarted,
        pid=4242,
        model="/models/tiny-qwen",
        capacity_tokens=CAPACITY,
        page_size=1,
        policy="lru",
        sglang="0.5.21",
    )
    agents = list(ANCHORS)
    for agent in agents:
        cache.emit(e.AgentSeen, agent=agent, label=f"You are the {agent}", fingerprint=agent[:4], declared=True)
    for step in range(dispatches):
        session = f"s{step % 4}"
        turn = step // 4
        cache.dispatch(agents[(turn + step % 4) % len(agents)], session, 90 + 30 * (turn % 9))
        if step == dispatches // 3:
            cache.emit(e.PolicySwitched, policy="lru", enabled=False, why="kv_caching takes the slot")
            cache.emit(e.PolicySwitched, policy="kv_caching", enabled=True, by="operator", why="trying it")
        if step == dispatches // 2:
            cache.emit(e.ActionTaken, id="a1", kind="pin", agent="planner", result="pinned", tokens=412)
            cache.emit(e.RequestRefused, rid="bad", agent="coder", status=400, reason="body is not JSON")
    cache.sample_load(running=0)
    return cache.events


def folded(events: list[e.AnyEvent]) -> RunState:
    state = RunState()
    for event in events:
        fold(state, event)
    return state
