"""Reads a Mooncake request trace as plain traffic without agents: a check that nothing gets worse on it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec

from .prompts import remark
from .workloads import Turn, WorkloadError


class _Asked(msgspec.Struct, frozen=True):
    """One line. `timestamp`: milliseconds; `hash_ids`: one per block of 512 prompt tokens, equal for equal prefixes."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: list[int]


def read_mooncake(path: Path, *, requests: int, block_tokens: int = 16, max_blocks: int = 160) -> list[Turn]:
    """The first `requests` requests, in order. Raises WorkloadError naming the file and the line.

    Each block becomes about `block_tokens` tokens of text made from its id, so two prompts still share exactly the
    blocks they share in the trace, at a size that a small KV pool can hold; longer prompts lose their end.
    """
    try:
        lines = path.read_bytes().splitlines()[:requests]
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not lines:
        raise WorkloadError(f"{path}: empty")
    return [_turn(path, number, line, block_tokens, max_blocks) for number, line in enumerate(lines, start=1)]


def _turn(path: Path, number: int, line: bytes, block_tokens: int, max_blocks: int) -> Turn:
    try:
        asked = msgspec.json.decode(line, type=_Asked)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: line {number}: {error}") from error
    blocks = (remark(Random(block), block_tokens) for block in asked.hash_ids[:max_blocks])
    text = "\n".join(blocks)
    return Turn(session=f"request-{number}", agent="", messages=[{"role": "user", "content": text}])
