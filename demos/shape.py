"""`python -m radixdeck.demos.shape gaia`: the exact bound and LRU over sizes of KV memory, without an engine.

This is how the sizes in `named.py` were chosen, on tuning seeds only. Prompts are rendered and cut into tokens as the
engine does it with the model made on the spot, but for a few tokens that SGLang adds to a prompt with tools, and come
one at a time; no policy of ours is asked.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import zlib
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import numpy as np

from radixdeck.daemon.engine import model_tokenizer
from radixdeck.storage.bound import Request, belady_bound, lru_hits

from .named import NAMED, spec_of
from .report import points, table
from .workloads import TUNING_SEEDS, Turn, WorkloadError, WorkloadSpec, generate

TEMPLATE = Path(model_tokenizer.__file__).with_name("chat_template.jinja")
STEPS_PER_REQUEST = 3


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Hit rates in a cache of `kv_tokens`, 0 to 1. `endless`: with room for everything."""

    kv_tokens: int
    lru: float
    bound: float
    endless: float


def demand(turns: Sequence[Turn]) -> list[Request]:
    """The turns as the cache sees them, one at a time in list order; nobody else has the same outputs."""
    return [_request(number, turn) for number, turn in enumerate(turns)]


def _request(number: int, turn: Turn) -> Request:
    ids = token_ids(turn)
    hashes: list[int] = []
    path = 0
    for token in ids:
        path = zlib.crc32(token.to_bytes(4, "little"), path)
        hashes.append(path)
    for place in range(turn.max_tokens - 1):
        path = zlib.crc32(f"answer {number} {place}".encode(), path)
        hashes.append(path)
    start = STEPS_PER_REQUEST * number
    return Request(
        rid=str(number), hashes=np.array(hashes, np.uint32), prompt_tokens=len(ids),
        start=start, inserted=start + 1, finish=start + 2, agent=turn.agent,
    )  # fmt: skip


def token_ids(turn: Turn) -> list[int]:
    """The prompt's tokens under the model made on the spot."""
    tokenizer, template = _tools()
    text = template.render(messages=turn.messages, tools=turn.tools or None, add_generation_prompt=True)
    return tokenizer.encode(text).ids


@cache
def _tools() -> tuple[Any, Any]:
    """Tokenizer and chat template, as transformers sets the template up."""
    environment: Any = importlib.import_module("jinja2").Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)
    return model_tokenizer.train(), environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def sweep(spec: WorkloadSpec, sizes: Sequence[int]) -> list[Size]:
    """One workload at all sizes."""
    requests = demand(generate(spec))
    endless = belady_bound(requests, sum(len(request.hashes) for request in requests)).hit_rate
    return [
        Size(
            kv_tokens=kv_tokens,
            lru=lru_hits(requests, kv_tokens).hit_rate,
            bound=belady_bound(requests, kv_tokens).hit_rate,
            endless=endless,
        )
        for kv_tokens in sizes
    ]


def facts(spec: WorkloadSpec) -> str:
    """Length of prompts, share of anchors, requests of a session, in words."""
    turns = generate(spec)
    lengths = [len(token_ids(turn)) for turn in turns]
    heads = [len(token_ids(msgspec.structs.replace(turn, messages=turn.messages[:1]))) for turn in turns]
    anchors = {turn.agent: head for turn, head in zip(turns, heads, strict=True)}
    sessions = len({turn.session for turn in turns})
    return (
        f"{len(turns)} prompts of {fmean(lengths):.0f} tokens ({max(lengths)} at most), "
        f"{sum(heads) / sum(lengths):.0%} anchors ({sum(anchors.values())} tokens of {len(anchors)} agents), "
        f"{sessions} sessions"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one table per workload: means over the tuning seeds."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.shape", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *NAMED], default=[])
    parser.add_argument("--requests", type=int, help="per seed [as in the bench]")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000 + 1_000 * n for n in range(12)])
    told = parser.parse_args(arguments)
    for name in told.names or NAMED:
        specs = [spec_of(name, seed, told.requests) for seed in TUNING_SEEDS]
        try:
            print(f"{name}: {facts(specs[0])}")
        except WorkloadError as error:
            parser.error(str(error))
        print(_text([sweep(spec, told.sizes) for spec in specs]), flush=True)
    return 0


def _text(by_seed: Sequence[Sequence[Size]]) -> str:
    rows: list[list[str]] = []
    for sizes in zip(*by_seed, strict=True):
        lru, bound, endless = (fmean(getattr(size, field) for size in sizes) for field in ("lru", "bound", "endless"))
        least = min(size.bound - size.lru for size in sizes)
        gains = [f"{100 * (bound - lru):+.1f}", f"{100 * least:+.1f}"]
        rows.append([f"{sizes[0].kv_tokens:,}", points(lru), points(bound), *gains, points(endless)])
    return table(["KV tokens", "LRU %", "bound %", "points", "least of a seed", "endless %"], rows)


if __name__ == "__main__":
    sys.exit(main())
