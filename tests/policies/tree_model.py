"""A model of the engine's radix cache for tests of policies: leaf-wise eviction over a trie, one queue per subject, the
engine's own rules of ownership, the same events. Prompts are tuples of atoms: runs of tokens that never diverge within.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from radixdeck.policies import events as ev
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.tree.ownership import Owned, Ownership, Who

Atom = tuple[str, int]
"""Name and length in tokens."""
Prompt = tuple[Atom, ...]
KEPT_PROMPTS = 64


def length(atoms: Prompt) -> int:
    return sum(tokens for _, tokens in atoms)


def common(one: Prompt, other: Prompt) -> int:
    """How many leading atoms are the same."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


@dataclass
class Node:
    id: int
    parent: Node | None
    atoms: Prompt
    used_s: float = 0.0
    locks: int = 0
    children: dict[Atom, Node] = field(default_factory=dict)


class TreeModel:
    """The cache of one engine. `events` collects what happened; the host, if any, observes it as it happens."""

    def __init__(self, capacity_tokens: int, host: PolicyHost) -> None:
        self.capacity_tokens, self.host = capacity_tokens, host
        self.root = Node(0, None, ())
        self.leaves: dict[int, Node] = {}
        self.resident_tokens = 0
        self.events: list[ev.EngineEvent] = []
        self.owners = Ownership()
        self.now_s = 0.0
        self._ids = 0
        self._held: dict[str, tuple[Node, Prompt, Who]] = {}
        self._recent: list[tuple[str, str, str, Prompt]] = []
        self.say(ev.EngineStarted(
            t_ns=1, pid=1, model="model", capacity_tokens=capacity_tokens, page_size=1, policy="lru"))  # fmt: skip

    def say(self, event: ev.EngineEvent) -> None:
        self.events.append(event)
        self.host.observe(event)

    @property
    def t_ns(self) -> int:
        return int(self.now_s * 1e9) + 1

    def dispatch(self, who: Who, prompt: Prompt) -> int:
        """Match, make room, insert and lock the prompt of a request. Returns the cached tokens."""
        path, matched = self._match(prompt)
        cached = length(prompt[:matched])
        base_rid, base_tokens = self._base(who, prompt)
        if (dropped := self.owners.meet(who, length(prompt))) is not None:
            self.owners.end_session(dropped)
        self.say(ev.PrefixMatched(
            t_ns=self.t_ns, rid=who.rid, agent=who.agent, session=who.session, prompt_tokens=length(prompt),
            cached_tokens=cached, anchor_tokens=who.anchor, node=path.id, warm=who.warm, base_rid=base_rid,
            base_tokens=base_tokens))  # fmt: skip
        self._own_path(path, who)
        for owned in self.owners.passed_by(who):
            self._say_owned(owned)
        self._lock(path, 1)
        self._make_room(length(prompt) - cached, who)
        self._lock(path, -1)
        leaf, new_tokens = self._insert(prompt, who)
        self._lock(leaf, 1)
        self._held[who.rid] = (leaf, prompt, who)
        self.say(ev.PrefixInserted(
            t_ns=self.t_ns, rid=who.rid, phase="prompt", total_tokens=length(prompt), new_tokens=new_tokens,
            node=leaf.id))  # fmt: skip
        return cached

    def finish(self, rid: str, output: Prompt, tool: bool = False) -> None:
        """The response is complete: prompt and output go into the tree, and how it finished is told."""
        leaf, prompt, who = self._held.pop(rid)
        self._make_room(length(output), who)
        self._lock(leaf, -1)
        end, new_tokens = self._insert(prompt + output, who)
        self._recent = [*self._recent[1 - KEPT_PROMPTS :], (rid, who.agent, who.session, prompt + output)]
        self.say(ev.PrefixInserted(
            t_ns=self.t_ns, rid=rid, phase="finish", total_tokens=length(prompt + output), new_tokens=new_tokens,
            node=end.id))  # fmt: skip
        kind = ev.ToolCalled if tool else ev.AnswerGiven
        self.say(kind(t_ns=self.t_ns, rid=rid, agent=who.agent, session=who.session))

    def end_session(self, session: str) -> None:
        self.owners.end_session(session)
        self.say(ev.SessionEnded(t_ns=self.t_ns, session=session))

    def _base(self, who: Who, prompt: Prompt) -> tuple[str, int]:
        best = ("", 0)
        for rid, agent, session, atoms in self._recent:
            if who.agent == agent or who.session == session:
                tokens = length(prompt[: common(prompt, atoms)])
                best = max(best, (rid, tokens), key=lambda pair: pair[1])
        return best

    # ---- the trie ----------------------------------------------------------------------------------------------------

    def _match(self, prompt: Prompt) -> tuple[Node, int]:
        """The deepest node of the cached prefix, split where the prompt leaves it, and how many atoms match."""
        node, matched = self.root, 0
        while matched < len(prompt) and prompt[matched] in node.children:
            child = node.children[prompt[matched]]
            same = common(child.atoms, prompt[matched:])
            if same < len(child.atoms):
                child = self._split(child, same)
            child.used_s = self.now_s
            node, matched = child, matched + same
        return node, matched

    def _split(self, node: Node, count: int) -> Node:
        assert node.parent is not None
        upper = Node(self._new_id(), node.parent, node.atoms[:count], node.used_s, node.locks)
        node.parent.children[node.atoms[0]] = upper
        node.atoms = node.atoms[count:]
        upper.children[node.atoms[0]] = node
        node.parent = upper
        self.owners.split(node.id, upper.id, length(upper.atoms))
        self.say(ev.NodeSplit(t_ns=self.t_ns, node=node.id, upper=upper.id, upper_tokens=length(upper.atoms)))
        return upper

    def _insert(self, prompt: Prompt, who: Who) -> tuple[Node, int]:
        node, matched = self._match(prompt)
        rest = prompt[matched:]
        if rest:
            node = self._add(node, rest, length(prompt[:matched]), who)
        if self.host.splits_anchors and who.anchor:
            self._match(self._anchor_of(prompt, who.anchor))
        self._own_path(node, who)
        return node, length(rest)

    def _anchor_of(self, prompt: Prompt, anchor_tokens: int) -> Prompt:
        count = 0
        while count < len(prompt) and length(prompt[: count + 1]) <= anchor_tokens:
            count += 1
        return prompt[:count]

    def _add(self, parent: Node, atoms: Prompt, start: int, who: Who) -> Node:
        node = Node(self._new_id(), parent, atoms, self.now_s)
        parent.children[atoms[0]] = node
        self.leaves.pop(parent.id, None)
        self.leaves[node.id] = node
        self.resident_tokens += length(atoms)
        self.owners.set_anchor(who.agent, max(who.anchor, self.owners.anchors.get(who.agent, 0)))
        owned = self.owners.add(node.id, start, length(atoms), who, self.t_ns)
        self.say(ev.NodeAdded(
            t_ns=self.t_ns, node=node.id, parent=parent.id, start=start, tokens=length(atoms), agent=who.agent,
            session=who.session, role=owned.role, rid=who.rid, part=owned.part))  # fmt: skip
        return node

    def _own_path(self, node: Node | None, who: Who) -> None:
        while node is not None and node.parent is not None:
            owned = self.owners.nodes[node.id]
            if self.owners.use(owned, who, self.t_ns):
                self._say_owned(owned)
            node = node.parent

    def _say_owned(self, owned: Owned) -> None:
        self.say(ev.NodeOwned(
            t_ns=self.t_ns, node=owned.node, agents=owned.agents, role=owned.role, session=owned.session,
            part=owned.part))  # fmt: skip

    def _lock(self, node: Node | None, change: int) -> None:
        while node is not None:
            node.locks += change
            node = node.parent

    def _new_id(self) -> int:
        self._ids += 1
        return self._ids

    # ---- eviction ----------------------------------------------------------------------------------------------------

    def _make_room(self, tokens: int, who: Who) -> None:
        while self.resident_tokens + tokens > self.capacity_tokens and (victim := self._victim()) is not None:
            self._evict(*victim, who)

    def _victim(self) -> tuple[Node, float, int] | None:
        """The free leaf with the lowest (score, last use), its score, and LRU's victim if that is another one."""
        scores: dict[object, float] = {}
        self.owners.by_node = self.host.scores_nodes
        best: tuple[float, float, int] | None = None
        oldest: tuple[float, int] | None = None
        for node in self.leaves.values():
            if node.locks:
                continue
            subject = self.owners.subject(node.id)
            if subject not in scores:
                scores[subject] = self.host.score(subject, self.now_s).key
            rank = (scores[subject], node.used_s, node.id)
            best = rank if best is None or rank < best else best
            oldest = rank[1:] if oldest is None or rank[1:] < oldest else oldest
        if best is None or oldest is None:
            return None
        return self.leaves[best[2]], best[0], ev.NO_NODE if oldest[1] == best[2] else oldest[1]

    def _evict(self, node: Node, key: float, instead: int, who: Who) -> None:
        assert node.parent is not None
        owned = self.owners.drop(node.id)
        assert owned is not None
        del self.leaves[node.id]
        del node.parent.children[node.atoms[0]]
        if not node.parent.children and node.parent.parent is not None:
            self.leaves[node.parent.id] = node.parent
        self.resident_tokens -= length(node.atoms)
        self.say(ev.NodeEvicted(
            t_ns=self.t_ns, node=node.id, tokens=length(node.atoms), start=owned.start, agents=owned.agents,
            role=owned.role, session=owned.session, by_rid=who.rid, by_agent=who.agent, score=key,
            idle_s=self.now_s - node.used_s, instead=instead))  # fmt: skip
