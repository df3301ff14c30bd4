"""What making room while decoding costs where leaves are long prompts: cut to what is needed, or evicted whole.

`python -m radixdeck.daemon.engine.bench_trim AGENTS...` prints one JSON object per tree. Decoding in a full cache asks
for a token per running request at a time. Times are CPU times of the one thread that works.
"""

# SGLang ships no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from .bench_clock import clock_s, reading_s
from .bench_cost import freeze, grow_ours, thaw
from .bench_trees import Grown

NODES = 1_000
NODE_TOKENS = 4_000
NEED_TOKENS = 16
"""Of each step: so many requests decode at once."""
FREED_TOKENS = 40_000


class TrimCost(msgspec.Struct, frozen=True, kw_only=True):
    """`trims`: whether victims are cut; `calls` of SGLang's evict freed `freed_tokens`; times are means."""

    agents: int
    subjects: int
    trims: bool
    calls: int
    freed_tokens: int
    us_per_call: float
    us_per_token: float


def decode(tree: Grown, tokens: int) -> TrimCost:
    """Make room for `tokens` tokens, step by step; what one call frees beyond its need, the next steps use."""
    from sglang.srt.mem_cache.base_prefix_cache import EvictParams

    stream = tree.stream
    assert stream is not None
    calls, freed, free, took_s = 0, 0, 0, 0.0
    for _ in range(tokens // NEED_TOKENS):
        stream.step()
        if free < NEED_TOKENS:
            begun_s = clock_s()
            told = tree.cache.evict(EvictParams(num_tokens=NEED_TOKENS - free)).num_tokens_evicted
            took_s += clock_s() - begun_s - reading_s(clock_s)
            if told < NEED_TOKENS - free:
                raise RuntimeError(f"{told} tokens were freed of {NEED_TOKENS - free}")
            calls, freed, free = calls + 1, freed + told, free + told
        free -= NEED_TOKENS
    return TrimCost(
        agents=tree.agents, subjects=len(tree.observer.index.subjects), trims=stream.host.says("trims_victims"),
        calls=calls, freed_tokens=freed, us_per_call=1e6 * took_s / calls, us_per_token=1e6 * took_s / freed,
    )  # fmt: skip


def measure(nodes: int, agents: int, node_tokens: int, tokens: int, trims: bool) -> TrimCost:
    tree = grow_ours(nodes, agents, node_tokens, trim_victims=float(trims))
    freeze()
    decode(tree, node_tokens)  # warms up
    cost = decode(tree, tokens)
    del tree
    thaw()
    return cost


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m radixdeck.daemon.engine.bench_trim", description=__doc__)
    parser.add_argument("agents", type=int, nargs="+", help="how many agents a tree belongs to; two trees for each")
    parser.add_argument("--nodes", type=int, default=NODES, help="nodes of each tree")
    parser.add_argument("--node-tokens", type=int, default=NODE_TOKENS, help="tokens of each node")
    parser.add_argument("--tokens", type=int, default=FREED_TOKENS, help="tokens that are made room for")
    asked = parser.parse_args(arguments)
    from . import plugin

    plugin.load()
    for agents in asked.agents:
        for trims in (True, False):
            cost = measure(asked.nodes, agents, asked.node_tokens, asked.tokens, trims)
            print(msgspec.json.encode(cost).decode(), flush=True)


if __name__ == "__main__":
    main()
