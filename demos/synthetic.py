"""A made-up engine stream for measuring the console: a full cache of many nodes, and events at a steady pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random

from radixdeck.policies import events as e

AGENTS = tuple(f"agent-{number:02d}" for number in range(12))
NODE_TOKENS = 60
PER_REQUEST = 8
"""Events of one request here: matched, evicted, added, inserted, and what the front saw of it."""


class SyntheticRun:
    """Events of a cache that always holds `nodes` nodes: each request adds one and takes the oldest."""

    def __init__(self, nodes: int, seed: int = 1) -> None:
        self._rng = Random(seed)
        self._resident: deque[tuple[int, str, str]] = deque()
        self._next_node, self._next_rid = 1, 1
        self.nodes = nodes

    @property
    def capacity_tokens(self) -> int:
        return self.nodes * NODE_TOKENS

    def begin(self, t_ns: int) -> list[e.AnyEvent]:
        """The engine starts and the cache fills."""
        events: list[e.AnyEvent] = [
            e.EngineStarted(
                t_ns=t_ns, pid=1, model="synthetic", capacity_tokens=self.capacity_tokens, page_size=1, policy="lru"
            )
        ]
        events += [self._add(t_ns, AGENTS[number % len(AGENTS)], "") for number in range(self.nodes)]
        return events

    def request(self, t_ns: int) -> list[e.AnyEvent]:
        """PER_REQUEST events of one request."""
        agent = self._rng.choice(AGENTS)
        session = f"s{self._rng.randrange(40):02d}"
        rid, self._next_rid = f"r{self._next_rid}", self._next_rid + 1
        node, owner, owner_session = self._resident.popleft()
        hit = self._rng.random()
        return [
            e.RequestArrived(t_ns=t_ns, rid=rid, agent=agent, session=session, declared=True, stream=True),
            e.PrefixMatched(
                t_ns=t_ns, rid=rid, agent=agent, session=session, prompt_tokens=600, cached_tokens=int(600 * hit),
                node=node + 1,
            ),
            e.NodeEvicted(
                t_ns=t_ns, node=node, tokens=NODE_TOKENS, start=0, agents=(owner,), role="private",
                session=owner_session, by_rid=rid, by_agent=agent, score=0.1, parts={"rate_per_s": 0.1}, idle_s=4.0,
            ),
            self._add(t_ns, agent, session, rid),
            e.PrefixInserted(t_ns=t_ns, rid=rid, phase="prompt", total_tokens=600, new_tokens=NODE_TOKENS),
            e.FirstTokenSent(t_ns=t_ns, rid=rid, ttft_s=0.05 + 0.3 * (1 - hit)),
            e.RequestFinished(
                t_ns=t_ns, rid=rid, agent=agent, session=session, status=200, finish="stop", latency_s=0.6,
                output_tokens=20,
            ),
            e.AnswerGiven(t_ns=t_ns, rid=rid, agent=agent, session=session),
        ]  # fmt: skip

    def requests(self, t_ns: int, step_ns: int) -> Iterator[list[e.AnyEvent]]:
        """Requests without an end, `step_ns` apart."""
        while True:
            yield self.request(t_ns)
            t_ns += step_ns

    def _add(self, t_ns: int, agent: str, session: str, rid: str = "") -> e.NodeAdded:
        node, self._next_node = self._next_node, self._next_node + 1
        self._resident.append((node, agent, session))
        return e.NodeAdded(
            t_ns=t_ns, node=node, parent=0, start=0, tokens=NODE_TOKENS, agent=agent, session=session, role="private",
            rid=rid,
        )  # fmt: skip
