"""What the cache layer costs per operation, on trees of one size: ours against SGLang's Python and Rust tree cores.

`python -m radixdeck.daemon.engine.bench_cost NODES AGENTS...` prints one JSON object per measurement. SGLang's own
caches know no agents and are measured once. Times are those of `bench_clock`. Garbage collection is on, but what a tree
was built from is frozen, on all sides: a collection over a million nodes takes longer than anything measured here.
"""

# SGLang ships no type stubs. The timers hook into private parts of it.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from radixdeck.policies.tree.observer import Observer

from .bench_clock import Laps, clock_s, collected
from .bench_trees import NODE_TOKENS, Grown, TimedHost, Watched, our_cache, stock_cache

FREED_TOKENS = 1_000
MANY_NODES = 100_000
"""From here on a tree takes long to grow and a pass over all nodes long too: that is made once."""
POLICY = "kv_caching"
STOCK = {"SGLang Python": "python", "SGLang Rust": "rust"}
OURS = "ours"
EVICT, CHOICE, SCORE, SCORE_ALONE, SPLIT, WALK, SNAPSHOT = (
    "evict 1,000 tokens", "choose victims for 1,000 tokens", "score", "score, one by one",
    "look-up that splits", "walk, per node", "snapshot, per node",
)  # fmt: skip
CHOICE_SCORED = "choose victims for 1,000 tokens, all scored"
"""The same where nothing is known to be worth nothing, so that everything that is cached is scored first."""
NOTE, NOTE_ANY, NOTE_REQUEST = "note ", "note, any event", "note, all of a request"
"""What the scheduler pays when something happens: it is stamped, handed to the link, and noted for the policies."""
LEARN, LEARN_ANY, LEARN_REQUEST = "learn ", "learn, any event", "learn, all of a request"
"""What the policies need to learn from it, later."""
COLLECTIONS = "garbage collections, per event"
"""Those while events are noted and learned from, on either side and in SGLang's tree: whose they are nobody can say."""
SCORES_SPARSE, SCORES_DENSE = "all scores, 50 requests after the last", "all scores, at every request"
"""All that an eviction waits for before it can choose: what happened since is learned from and worked out first."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of `what` over `count` repetitions; `low`, `high`: the 10th and the 90th percentile. `agents`: 0
    where the cache knows none."""

    nodes: int
    agents: int
    core: str
    what: str
    count: int
    mean_us: float
    median_us: float
    low_us: float
    high_us: float


def summary(nodes: int, agents: int, core: str, what: str, took_s: Sequence[float]) -> Cost:
    at = sorted(1e6 * took for took in took_s)
    return Cost(
        nodes=nodes, agents=agents, core=core, what=what, count=len(at), mean_us=statistics.fmean(at),
        median_us=statistics.median(at), low_us=at[len(at) // 10], high_us=at[-1 - len(at) // 10],
    )  # fmt: skip


class Bench:
    """One grown tree. `seconds`: how long one measurement may go on, after its least number of repetitions."""

    def __init__(self, tree: Grown, core: str, nodes: int, seconds: float) -> None:
        self.tree = tree
        self._core, self._nodes, self._seconds = core, nodes, seconds

    def say(self, what: str, took_s: Sequence[float]) -> None:
        agents = self.tree.agents if self._core == OURS else 0
        print(msgspec.json.encode(summary(self._nodes, agents, self._core, what, took_s)).decode(), flush=True)

    def repeated(self, once: Callable[[], float], least: int = 5, most: int = 60) -> list[float]:
        """Results of a call that is repeated while there is time; the first one only warms up."""
        once()
        took_s: list[float] = []
        begun_s = time.perf_counter()
        while len(took_s) < least or (len(took_s) < most and time.perf_counter() - begun_s < self._seconds):
            took_s.append(once())
        return took_s

    # ---- on every core -----------------------------------------------------------------------------------------------

    def evict(self) -> float:
        """Seconds to free 1,000 tokens. The tree is filled up again; time passes, so that nothing scored before
        holds."""
        from sglang.srt.mem_cache.base_prefix_cache import EvictParams

        if self.tree.stream is not None:
            self.tree.stream.step()
        begun_s = clock_s()
        freed = self.tree.cache.evict(EvictParams(num_tokens=FREED_TOKENS)).num_tokens_evicted
        took_s = clock_s() - begun_s
        if freed < FREED_TOKENS:
            raise RuntimeError(f"{self._core} freed {freed} tokens of {FREED_TOKENS}")
        for _ in range(freed // NODE_TOKENS):
            self.tree.serve()
        return took_s

    def choose_scored(self) -> float:
        """The same where policies are not asked first what is worth nothing for sure."""
        host: Any = self.tree.observer.stream.host
        host.worthless = lambda subject: False  # pyright: ignore[reportUnknownLambdaType]
        try:
            return self.choose()
        finally:
            del host.worthless

    def choose(self) -> float:
        """What of an eviction goes into choosing: scoring or heap building, picks, and keeping the index in step."""
        from sglang.srt.mem_cache.unified_cache.components import ComponentType

        laps = Laps()
        component = self.tree.cache.tree_core.components_by_type[ComponentType.FULL]
        laps.time(component, "_evict_device_start", "_evict_device_next_node")
        if self._core == OURS:
            laps.time(self.tree.observer, "evictable", "not_evictable")
        turns, serve = self.tree.turns, self.tree.serve
        chosen_s: list[float] = []

        def stop_first(**told: bool) -> None:
            """The tree is filled up again without being timed."""
            if not chosen_s:
                chosen_s.append(laps.total_s)
                laps.release()
            serve(**told)

        self.tree.serve = stop_first
        self.evict()
        del self.tree.serve
        assert self.tree.turns > turns
        return chosen_s[0]

    def split(self) -> list[float]:
        """Look-ups that end inside a leaf, each in another one."""
        from sglang.srt.mem_cache.base_prefix_cache import MatchPrefixParams

        tokens = NODE_TOKENS + NODE_TOKENS // 2
        took_s: list[float] = []
        for number in range(self.tree.turns - 100, self.tree.turns):
            params = MatchPrefixParams(key=self.tree.leaf_key(number, tokens))
            begun_s = clock_s()
            found = self.tree.cache.match_prefix(params)
            took_s.append(clock_s() - begun_s)
            if len(found.device_indices) != tokens:
                raise RuntimeError(f"{self._core} found {len(found.device_indices)} tokens of {tokens}")
        return took_s

    def walk(self) -> float:
        """SGLang's own pass over the whole tree, per node."""
        begun_s = clock_s()
        self.tree.cache.total_size()
        return (clock_s() - begun_s) / self._nodes

    # ---- on ours -----------------------------------------------------------------------------------------------------

    def score(self, together: bool) -> float:
        """Per look-up, all subjects of the index once, at an instant nothing was computed for. `together`: in one
        call."""
        stream, subjects = self.tree.stream, self.tree.observer.index.subjects
        assert stream is not None
        stream.step()
        now_s = stream.now_ns() / 1e9
        host = stream.host
        begun_s = clock_s()
        if together:
            host.scores(subjects, now_s)
        else:
            for subject in subjects:
                host.score(subject, now_s)
        return (clock_s() - begun_s) / len(subjects)

    def scores(self, *, dense: bool) -> float:
        """Of the whole call, as an eviction asks: 50 requests after the last one and learned from, or one request after
        it, and the next prompt has just been looked up."""
        stream = self.tree.stream
        assert stream is not None
        if dense:
            self.tree.serve()
            self.tree.look_up()
        else:
            self.evict()
        begun_s = clock_s()
        host, index, now_s = stream.host, self.tree.observer.index, stream.event_ns / 1e9
        if host.nonzero(index.by_subject, now_s) is None:
            host.scores(index.subjects, now_s)
        return clock_s() - begun_s

    def note_and_learn(self) -> None:
        """What the scheduler needs to note each event of requests and evictions, and all of one request; and what the
        host needs to learn from them."""
        stream = self.tree.stream
        assert stream is not None
        stream.catch_up()
        stream.took_s, stream.learner.took_s, before = [], [], self.tree.turns
        before_s = collected.total_s
        self.repeated(self.evict, least=5, most=20)
        noted, stream.took_s = stream.took_s, None
        learned, stream.learner.took_s = stream.learner.took_s, None
        requests = self.tree.turns - before
        self.say(COLLECTIONS, [(collected.total_s - before_s) / len(noted)])
        for of_kind, of_any, of_request, took in (
            (NOTE, NOTE_ANY, NOTE_REQUEST, noted),
            (LEARN, LEARN_ANY, LEARN_REQUEST, learned),
        ):
            by_kind: defaultdict[str, list[float]] = defaultdict(list)
            for kind, seconds in took:
                by_kind[kind].append(seconds)
            for kind, seconds in sorted(by_kind.items()):
                self.say(of_kind + kind, seconds)
            self.say(of_any, [seconds for _, seconds in took])
            self.say(of_request, [sum(seconds for _, seconds in took) / requests])

    def snapshot(self) -> float:
        begun_s = clock_s()
        self.tree.observer.snapshot(self.tree.cache.tree_core.root_node)
        return (clock_s() - begun_s) / self._nodes

    def run(self) -> None:
        freeze()
        self.say(EVICT, self.repeated(self.evict))
        if self._core != "SGLang Rust":
            self.say(CHOICE, self.repeated(self.choose))
        few = self._nodes < MANY_NODES
        self.say(WALK, self.repeated(self.walk, least=3, most=5) if few else [self.walk()])
        if self.tree.stream is not None:
            self.say(CHOICE_SCORED, self.repeated(self.choose_scored))
            self.say(SCORE, self.repeated(lambda: self.score(together=True)))
            self.say(SCORE_ALONE, self.repeated(lambda: self.score(together=False)))
            self.say(SCORES_SPARSE, self.repeated(lambda: self.scores(dense=False)))
            self.say(SCORES_DENSE, self.repeated(lambda: self.scores(dense=True)))
            self.note_and_learn()
            self.say(SNAPSHOT, self.repeated(self.snapshot, least=3, most=3) if few else [self.snapshot()])
        self.say(SPLIT, self.split())


def freeze() -> None:
    gc.collect()
    gc.freeze()


def thaw() -> None:
    gc.unfreeze()
    gc.collect()


def grow_ours(nodes: int, agents: int, node_tokens: int = NODE_TOKENS, **tunables: float) -> Grown:
    stream = Watched(TimedHost([POLICY], {POLICY: tunables}))
    return Grown(lambda params: our_cache(params, Observer(stream)), nodes, agents, stream, node_tokens)


def measure(grow: Callable[[], Grown], core: str, nodes: int, seconds: float) -> None:
    gc.disable()
    tree = grow()
    gc.enable()
    Bench(tree, core, nodes, seconds).run()
    del tree
    thaw()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m radixdeck.daemon.engine.bench_cost", description=__doc__)
    parser.add_argument("nodes", type=int, help="nodes of each tree")
    parser.add_argument("agents", type=int, nargs="+", help="how many agents they belong to; one tree for each")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for the repetitions of a measurement")
    asked = parser.parse_args(arguments)
    from . import plugin

    plugin.load()
    for name, core in STOCK.items():
        measure(lambda core=core: Grown(lambda params: stock_cache(params, core), asked.nodes, asked.agents[0], None),
                name, asked.nodes, asked.seconds)  # fmt: skip
    for agents in asked.agents:
        measure(lambda agents=agents: grow_ours(asked.nodes, agents), OURS, asked.nodes, asked.seconds)


if __name__ == "__main__":
    main()
