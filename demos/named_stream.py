"""A workload of real prompts as a modelled stream: the turns that the engine is sent, cut into its tokens, in their
order, one at a time; what is modelled is the cache and how long a request takes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from radixdeck.storage.atoms import Prompt
from radixdeck.storage.streams import Stream

from .shape import token_ids
from .stream_spec import Call
from .stream_tell import tell
from .workloads import Turn, WorkloadSpec, generate

Tokens = NDArray[np.int64]
PREFILL_S_PER_TOKEN = 1e-4
FIXED_S, DECODE_S = 0.1, 0.09
"""About what the model made on the spot takes on two CPU cores. Only pauses and the cache's turnover follow from it."""
MISSED = 0.6
"""Of a prompt, about, for that time: requests take the same time under all policies."""
BETWEEN_S = 0.004


def named_stream(spec: WorkloadSpec, name: str) -> Stream:
    """The stream of a workload as the bench plays it on the real engine: no request begins before the one before it is
    answered, nor before its session's pause is over; nobody tells of tool calls or of a session's end. Raises
    WorkloadError if a setting makes no sense."""
    turns = generate(spec)
    asked = [np.array(token_ids(turn)) for turn in turns]
    anchors = {turn.agent: turn for turn in turns}
    lengths = {agent: _anchor_tokens(turn) for agent, turn in anchors.items()}
    cuts = _cuts(asked)
    calls: list[Call] = []
    now_s, ended_s = 0.0, dict[str, float]()
    for number, (turn, ids) in enumerate(zip(turns, asked, strict=True)):
        start_s = max(now_s + BETWEEN_S, ended_s.get(turn.session, -turn.think_s) + turn.think_s)
        prefilled_s = start_s + FIXED_S + PREFILL_S_PER_TOKEN * MISSED * len(ids)
        now_s = ended_s[turn.session] = prefilled_s + DECODE_S
        ends = sorted({0, len(ids), lengths[turn.agent], *cuts[number]})
        calls.append(
            Call(
                start_s, prefilled_s, now_s, turn.session, turn.agent, _atoms(ids, ends),
                ((f"answer {number}", turn.max_tokens - 1),), anchor_atoms=ends.index(lengths[turn.agent]),
                fingerprint=turn.agent, last=turn.last,
            )
        )  # fmt: skip
    return tell(name, calls)


def _anchor_tokens(turn: Turn) -> int:
    """System prompt and tools, as the daemon measures them: what two renderings with other words behind it share."""
    one, other = (
        msgspec.structs.replace(turn, messages=[turn.messages[0], {"role": "user", "content": said}])
        for said in ("Alpha.", "Zebra?")
    )
    return _common(np.array(token_ids(one)), np.array(token_ids(other)))


def _cuts(asked: Sequence[Tokens]) -> list[set[int]]:
    """Where each prompt parts from any other one."""
    cuts: list[set[int]] = [set() for _ in asked]
    for number, ids in enumerate(asked):
        for before in range(number):
            parting = _common(ids, asked[before])
            cuts[number].add(parting)
            cuts[before].add(parting)
    return cuts


def _common(one: Tokens, other: Tokens) -> int:
    """Leading tokens that are the same."""
    length = min(len(one), len(other))
    unlike = np.flatnonzero(one[:length] != other[:length])
    return int(unlike[0]) if len(unlike) else length


def _atoms(ids: Tokens, ends: Sequence[int]) -> Prompt:
    return tuple(
        (hashlib.blake2b(ids[begin:end].tobytes(), digest_size=8).hexdigest(), end - begin)
        for begin, end in pairwise(ends)
    )
