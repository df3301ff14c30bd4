"""Who owns which cache node: a side table beside the radix tree, by node id.

The rules, settled whenever a request touches a node:

- Every request's agent joins the agents of each node on its path, and so does its session, if it has one.
- No agent: `unowned`.
- One agent: `anchor` if the node ends within the agent's anchor, or if several of its sessions used it (that is how an
  anchor nobody declared is learned); else `private` to the one session.
- Several agents: `shared` if the node ends within an anchor of any of them or several sessions used it; else `private`
  (one conversation that several agents with the same prompt carry on).
- Beyond 32 agents a node's agents are written ('*',); a subject already says ('*',) beyond 8.
- What an agent's newer prompts passed by is an `old` part, what is behind a prompt an `output` (see `parts`).
- A session is live from its first request until it ends or 1,024 younger ones came; then its history falls into its
  agent's one subject of closed sessions, so that subjects stay bounded.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Container

import msgspec

from ..events import NO_NODE, Part, Role
from ..primitives import Subject
from .parts import MAX_AGENTS, Parts
from .subjects import EVERYBODY, subject_of

MAX_AGENTS_NAMED = 32
MAX_LIVE_SESSIONS = 1024
MAX_KNOWN_AGENTS = 4096
MAX_TOUCHED = 256
LEARNING_SESSIONS = 5
MIN_LEARNED_ANCHOR_TOKENS = 16


class Owned(msgspec.Struct):
    """One node's entry. `start`, `tokens`: its span from the root. `many`: more than one session used it. `used_ns`:
    when a request last used it, by the event clock, and `used_by` which session and agent. `on_device`: False while its
    KV lives on the host only. `parent`: the node above it."""

    node: int
    start: int
    tokens: int
    agents: tuple[str, ...] = ()
    session: str = ""
    many: bool = False
    role: Role = "unowned"
    used_ns: int = 0
    on_device: bool = True
    part: Part = ""
    used_by: tuple[str, str] = ("", "")
    parent: int = NO_NODE

    @property
    def end(self) -> int:
        return self.start + self.tokens


class Who(msgspec.Struct, frozen=True):
    """A request as ownership sees it; no agent means that nobody said who is asking."""

    rid: str = ""
    agent: str = ""
    session: str = ""
    tenant: str = "default"
    anchor: int = 0
    warm: bool = False


NOBODY = Who()


class Ownership:
    """The side table, the agents' anchor lengths and the live sessions."""

    def __init__(self) -> None:
        self.nodes: dict[int, Owned] = {}
        self.anchors: dict[str, int] = {}
        self.touched: OrderedDict[int, None] = OrderedDict()
        self.by_node = False
        self._exact: set[str] = set()
        self._shared: dict[str, deque[int]] = {}
        self._agents: OrderedDict[str, None] = OrderedDict()
        self._live: OrderedDict[str, dict[str, None]] = OrderedDict()
        self._parts = Parts()

    # ---- nodes -------------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        self.nodes.clear()
        self.touched.clear()
        self._parts.clear()

    def add(self, node: int, start: int, tokens: int, who: Who, now_ns: int) -> Owned:
        owned = Owned(node, start, tokens, used_ns=now_ns)
        self.nodes[node] = owned
        self.use(owned, who, now_ns)
        return owned

    def split(self, node: int, upper: int, upper_tokens: int) -> Owned:
        """The first `upper_tokens` of `node` became `upper`, which inherits everything. Returns the new entry."""
        lower = self.nodes[node]
        above = msgspec.structs.replace(lower, node=upper, tokens=upper_tokens)
        lower.start += upper_tokens
        lower.tokens -= upper_tokens
        lower.parent = upper
        self.nodes[upper] = above
        self._parts.split(node, upper, *lower.used_by)
        return above

    def drop(self, node: int) -> Owned | None:
        self.touched.pop(node, None)
        return self.nodes.pop(node, None)

    def use(self, owned: Owned, who: Who, now_ns: int) -> bool:
        """A request used the node. Returns whether its owners or its role changed."""
        owned.used_ns = now_ns
        if not who.agent:
            return False
        before = (owned.agents, owned.role, owned.session, owned.part)
        if who.agent not in owned.agents and owned.agents != EVERYBODY:
            joined = tuple(sorted((*owned.agents, who.agent)))
            owned.agents = joined if len(joined) <= MAX_AGENTS_NAMED else EVERYBODY
        if who.session and who.session != owned.session:
            owned.many = owned.many or bool(owned.session)
            owned.session = owned.session or who.session
        self.settle(owned)
        self._place(owned, who)
        return before != (owned.agents, owned.role, owned.session, owned.part)

    def _place(self, owned: Owned, who: Who) -> None:
        """Which part of its agent's context a node is that the agent uses now."""
        owned.used_by = (who.session, who.agent)
        if owned.role != "private":
            owned.part = ""
            self._parts.used_common(who.agent, owned.node)
            return
        self._parts.used(who.session, who.agent, owned.node)
        behind = not who.warm and self._parts.is_output(who.session, who.agent, owned.start)
        owned.part = "output" if behind else ""

    def passed_by(self, who: Who) -> list[Owned]:
        """A request's prompt was looked up, and the path it found is used: which nodes it shows to be out of use."""
        if not who.agent or who.warm:
            return []
        own = self._now(who, self._parts.not_repeated(who.session, who.agent), private=True)
        return self._now(who, self._parts.passed_by(who.agent), private=False) + own

    def _now(self, who: Who, told: list[tuple[int, Part]], *, private: bool) -> list[Owned]:
        """Nodes that are another part now. What was one session's own may be common property by now."""
        changed: list[Owned] = []
        for node, part in told:
            owned = self.nodes.get(node)
            if owned is None or owned.used_by[1] != who.agent or (owned.role == "private") != private:
                continue
            if owned.part != part:
                owned.part = part
                changed.append(owned)
        return changed

    def settle(self, owned: Owned) -> bool:
        """Apply the rules of the module's docstring. Returns whether the role changed."""
        before = owned.role
        owned.role = self._role(owned)
        return owned.role != before

    def _role(self, owned: Owned) -> Role:
        if not owned.agents:
            return "unowned"
        alone = len(owned.agents) == 1
        if not owned.many:
            anchors = self.anchors
            longest = anchors.get(owned.agents[0], 0) if alone else max(anchors.get(who, 0) for who in owned.agents)
            if owned.end > longest:
                return "private"
        return "anchor" if alone and owned.agents != EVERYBODY else "shared"

    def subject(self, node: int) -> Subject:
        """The queue a node waits in to be evicted."""
        owned = self.nodes.get(node)
        if owned is None:
            return Subject("unowned")
        session = owned.session if owned.session in self._live else ""
        alone = self.by_node or node in self.touched
        return subject_of(owned.role, owned.agents, session, node if alone else NO_NODE, owned.part)

    def touch(self, node: int, pinned: Container[int] = ()) -> int | None:
        """An operator singled a node out. Returns the node that lost that status to make room, if any: of those
        that are not `pinned` the one that was singled out longest ago."""
        self.touched.pop(node, None)
        self.touched[node] = None
        if len(self.touched) <= MAX_TOUCHED:
            return None
        displaced = next((one for one in self.touched if one not in pinned), node)
        del self.touched[displaced]
        return displaced

    # ---- agents and sessions -----------------------------------------------------------------------------------------

    def meet(self, who: Who, prompt_tokens: int = 0) -> str | None:
        """A request arrived, with a prompt of so many tokens in whole pages. Returns the session that stopped counting
        as live to make room, if any."""
        if who.agent and not who.warm:
            self._parts.begin(who.session, who.agent, prompt_tokens)
        if who.agent:
            self._agents[who.agent] = None
            self._agents.move_to_end(who.agent)
            if len(self._agents) > MAX_KNOWN_AGENTS:
                self._forget(self._agents.popitem(last=False)[0])
        if not who.session or who.warm:
            return None
        agents = self._live.setdefault(who.session, {})
        agents[who.agent] = None
        if len(agents) > MAX_AGENTS:
            del agents[next(iter(agents))]
        self._live.move_to_end(who.session)
        if len(self._live) <= MAX_LIVE_SESSIONS:
            return None
        displaced, _ = self._live.popitem(last=False)
        self._parts.end_session(displaced)
        return displaced

    def knows(self, agent: str) -> bool:
        return agent in self._agents

    def is_new(self, who: Who) -> bool:
        """Whether the agent is not known to have been in this live session before."""
        return who.agent not in self._live.get(who.session, ())

    def end_session(self, session: str) -> None:
        self._live.pop(session, None)
        self._parts.end_session(session)

    def set_anchor(self, agent: str, tokens: int) -> bool:
        """The anchor's length is known from rendering. Returns whether that is news."""
        news = self.anchors.get(agent, 0) != tokens or agent not in self._exact
        self.anchors[agent] = tokens
        self._exact.add(agent)
        return news

    def learn_anchor(self, agent: str, shared_tokens: int | None) -> bool:
        """A new session of the agent shares that many leading tokens with another of its sessions; None: there is no
        other. The anchor is the lower median over the last few, unless it is known exactly. Returns whether that is
        news."""
        if shared_tokens is None or agent in self._exact:
            return False
        seen = self._shared.setdefault(agent, deque(maxlen=LEARNING_SESSIONS))
        seen.append(shared_tokens)
        tokens = sorted(seen)[(len(seen) - 1) // 2]
        tokens = tokens if tokens >= MIN_LEARNED_ANCHOR_TOKENS else 0
        news = self.anchors.get(agent, 0) != tokens
        self.anchors[agent] = tokens
        return news

    def _forget(self, agent: str) -> None:
        self.anchors.pop(agent, None)
        self._shared.pop(agent, None)
        self._exact.discard(agent)
        self._parts.forget(agent)
