"""Modelled streams of real traffic: Mooncake's request trace and Who&When's multi-agent logs, from the user's copy.

Neither says everything: the trace has no agents and no words, the logs have no times. What is made up is said here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec

from radixdeck.policies.identity.last_words import CLOSING_WORDS, closes
from radixdeck.storage.atoms import Atom, Prompt, length
from radixdeck.storage.streams import Stream

from .logs import read_log
from .prompts import PROSE_CHARS_PER_TOKEN
from .stream_spec import Call
from .stream_tell import tell
from .workloads import Message, Turn, WorkloadError

BLOCK_TOKENS, SHRUNK_TOKENS = 512, 16
"""A Mooncake block has 512 tokens; here it has 16, and outputs shrink likewise. Hit rates at the same share of the
working set are the same, but for the end of a prompt, which is a whole block here."""
PREFILL_TOKENS_PER_S, DECODE_TOKENS_PER_S = 8_000.0, 80.0
UNKNOWN = "unknown"
"""The agent that the daemon infers of a conversation without system message."""
CONTEXT_CHARS = 120_000
"""About 32,000 tokens: a context that holds all but the longest logs whole."""
MESSAGE_TOKENS = 4
"""What a chat template adds to each message, about."""
NOT_A_MODEL = ("Computer_terminal",)
"""Speakers of the logs that run code rather than ask a model; others see what they said."""
PREAMBLE: Prompt = (("preamble", 40),)
PAUSE_S, PAUSE_SIGMA = 4.0, 0.9
"""Steps of the logs browse and run code between two requests; the pauses are made up: log-normal of this median."""


class _Asked(msgspec.Struct, frozen=True):
    """One line of a Mooncake trace. `timestamp`: milliseconds; `hash_ids`: one per block, equal for equal prefixes."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: list[int]


def mooncake_stream(path: Path, *, requests: int = 4_000, names: bool = True) -> Stream:
    """The first `requests` requests of a trace at their times. `names`: with what the daemon would infer of them: the
    agent 'unknown', and the session of the longest conversation that a request extends; else with neither.

    Raises WorkloadError naming the file and the line.
    """
    try:
        lines = path.read_bytes().splitlines()[:requests]
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from error
    asked = [_decoded(path, number, line) for number, line in enumerate(lines, start=1)]
    sessions = _sessions(asked) if names else [""] * len(asked)
    calls = [
        _plain(number, one, session, UNKNOWN if names else "")
        for number, (one, session) in enumerate(zip(asked, sessions, strict=True))
    ]
    return tell(f"{path.stem}, {len(calls)} requests{'' if names else ', no names'}", calls)


def _decoded(path: Path, number: int, line: bytes) -> _Asked:
    try:
        asked = msgspec.json.decode(line, type=_Asked)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: line {number}: {error}") from error
    if not asked.hash_ids or asked.timestamp < 0 or asked.output_length < 0 or asked.input_length < 0:
        raise WorkloadError(f"{path}: line {number}: a request without blocks, or with a number below 0")
    return asked


def _sessions(asked: Sequence[_Asked]) -> list[str]:
    """A request continues the conversation whose last prompt, but for its unfinished last block, it begins with."""
    ends: dict[int, str] = {}
    sessions: list[str] = []
    for number, one in enumerate(asked):
        whole = one.hash_ids[:-1]
        session = next((ends[block] for block in reversed(whole) if block in ends), f"c{number}")
        if whole:
            ends[whole[-1]] = session
        sessions.append(session)
    return sessions


def _plain(number: int, asked: _Asked, session: str, agent: str) -> Call:
    start_s = asked.timestamp / 1e3 + number * 1e-6
    prefilled_s = start_s + asked.input_length / PREFILL_TOKENS_PER_S
    output_tokens = math.ceil(asked.output_length * SHRUNK_TOKENS / BLOCK_TOKENS)
    return Call(
        start_s=start_s, prefilled_s=prefilled_s, finish_s=prefilled_s + asked.output_length / DECODE_TOKENS_PER_S,
        session=session, agent=agent, prompt=tuple((f"block {block}", SHRUNK_TOKENS) for block in asked.hash_ids),
        output=((f"answer {number}", max(1, output_tokens)),),
    )  # fmt: skip


# ---- logs ----------------------------------------------------------------------------------------------------------


def logs_stream(
    path: Path, seed: int, *, live_sessions: float = 5.0, tells_ends: bool = False, tells_next: bool = False
) -> Stream:
    """The conversations of every *.json under a folder, in seeded order, arriving as a Poisson process. Agents and
    sessions are named; every response counts as an answer, for the logs' agents call tools in prose, and
    closes its session if it ends in TERMINATE.

    Raises WorkloadError naming the file and what is wrong with it, or if there are no files.
    """
    files = sorted(path.rglob("*.json"))
    if not files:
        raise WorkloadError(f"{path}: no *.json in it")
    rng = Random(f"logs {seed}")
    rng.shuffle(files)
    talks = [_talk(file, Random(f"{seed} {file.stem}")) for file in files]
    every_s = sum(talk[-1].finish_s for talk in talks) / len(talks) / live_sessions
    calls: list[Call] = []
    begin_s = 0.0
    for talk in talks:
        begin_s += rng.expovariate(1 / every_s)
        calls += [_later(call, begin_s) for call in talk]
    return tell(f"{path.name}, {len(files)} logs, seed {seed}", calls, tells_ends=tells_ends, tells_next=tells_next)


def _talk(file: Path, rng: Random) -> list[Call]:
    session = f"{file.parent.name}-{file.stem}"
    turns = [turn for turn in read_log(file, context_chars=CONTEXT_CHARS) if turn.agent not in NOT_A_MODEL]
    prompts = [_prompt(turn) for turn in turns]
    calls: list[Call] = []
    start_s = 0.0
    for number, (turn, prompt) in enumerate(zip(turns, prompts, strict=True)):
        output = _answer(turns, prompts, number) or (f"answer {session} {number}", rng.randint(50, 300))
        has_system = turn.messages[0]["role"] == "system"
        prefilled_s = start_s + length(prompt) / PREFILL_TOKENS_PER_S
        finish_s = prefilled_s + output[1] / DECODE_TOKENS_PER_S
        following = turns[number + 1].agent if number + 1 < len(turns) else ""
        calls.append(
            Call(
                start_s=start_s, prefilled_s=prefilled_s, finish_s=finish_s, session=session, agent=turn.agent,
                prompt=prompt, output=(output,), anchor_atoms=len(PREAMBLE) + 1 if has_system else 0,
                fingerprint=prompt[len(PREAMBLE)][0] if has_system else "", last=not following, next_agent=following,
                closes=closes(turn.answer, CLOSING_WORDS),
            )
        )  # fmt: skip
        start_s = finish_s + rng.lognormvariate(math.log(PAUSE_S), PAUSE_SIGMA)
    return calls


def _prompt(turn: Turn) -> Prompt:
    return PREAMBLE + tuple(_message(message) for message in turn.messages)


def _message(message: Message) -> Atom:
    """A message is never the same as another one in part: tokens by the length of its text."""
    text = f"{message['role']} {message['content']}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return digest, MESSAGE_TOKENS + math.ceil(len(message["content"]) / PROSE_CHARS_PER_TOKEN)


def _answer(turns: Sequence[Turn], prompts: Sequence[Prompt], number: int) -> Atom | None:
    """What was answered, as it stands in the agent's own next prompt, if that one extends this prompt."""
    mine = [n for n in range(number, len(turns)) if turns[n].agent == turns[number].agent]
    for now, later in pairwise(mine[:2]):
        size = len(prompts[now])
        if prompts[later][:size] == prompts[now] and len(prompts[later]) > size:
            return prompts[later][size]
    return None


def _later(call: Call, by_s: float) -> Call:
    return replace(
        call, start_s=call.start_s + by_s, prefilled_s=call.prefilled_s + by_s, finish_s=call.finish_s + by_s
    )
