"""Prefix hashes agree exactly as far as the prompts do."""

from __future__ import annotations

import random

import numpy as np
import pytest

from radixdeck.daemon.engine.sketch import Base, Recent, Sketcher, shared_tokens


def text(rng: random.Random, tokens: int) -> list[int]:
    return [rng.randrange(0, 150_000) for _ in range(tokens)]


@pytest.mark.parametrize("seed", range(20))
def test_two_prompts_share_as_many_hashes_as_tokens(seed: int) -> None:
    rng = random.Random(seed)
    sketcher = Sketcher()
    left = text(rng, rng.randrange(1, 400))
    fork = rng.randrange(0, len(left) + 1)
    right = [*left[:fork], *([left[fork] + 1] if fork < len(left) else []), *text(rng, rng.randrange(0, 50))]
    expected = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    assert shared_tokens(sketcher.sketch(left).hashes, sketcher.sketch(right).hashes) == expected


def test_order_and_namespace_matter_and_the_key_is_random() -> None:
    sketcher = Sketcher()
    assert shared_tokens(sketcher.sketch([1, 2, 3]).hashes, sketcher.sketch([2, 1, 3]).hashes) == 0
    assert shared_tokens(sketcher.sketch([1, 2, 3]).hashes, sketcher.sketch([1, 2, 3], "salt").hashes) == 0
    assert shared_tokens(sketcher.sketch([1, 2, 3]).hashes, Sketcher().sketch([1, 2, 3]).hashes) == 0
    assert shared_tokens(Sketcher(b"k" * 16).sketch([7]).hashes, Sketcher(b"k" * 16).sketch([7]).hashes) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_sketch_is_extended_as_if_made_anew(seed: int) -> None:
    rng = random.Random(seed)
    sketcher = Sketcher()
    prompt, output = text(rng, rng.randrange(0, 300)), text(rng, rng.randrange(0, 30))
    whole = sketcher.sketch(prompt + output, "salt")
    extended = sketcher.extended(sketcher.sketch(prompt, "salt"), output)
    assert extended.hashes.tolist() == whole.hashes.tolist()
    assert extended.total == whole.total


def test_a_hash_is_four_little_endian_bytes_per_token() -> None:
    hashes = Sketcher().sketch([5, -1, 1 << 40]).hashes
    assert hashes.dtype == np.dtype("<u4")
    assert len(hashes.tobytes()) == 12
    assert len(Sketcher().sketch([]).hashes) == 0


def test_the_longest_common_prefix_among_the_recent_is_found() -> None:
    sketcher, recent = Sketcher(), Recent(size=3)
    recent.keep("a", "x", "s1", sketcher.sketch([1, 2, 3, 4]).hashes)
    recent.keep("b", "x", "s2", sketcher.sketch([1, 2, 9]).hashes)
    prompt = sketcher.sketch([1, 2, 3, 7]).hashes
    assert recent.best(prompt, "x") == Base("a", 3)
    assert recent.best(prompt, "unseen") == Base("a", 3)
    assert recent.shared_with_other_sessions(prompt, "x", "s1") == 2
    assert recent.shared_with_other_sessions(prompt, "y", "s1") is None
    for rid in "cde":
        recent.keep(rid, "x", "s3", sketcher.sketch([8]).hashes)
    assert recent.best(prompt, "x") == Base()
