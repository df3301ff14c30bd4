"""Plain conversations for the modelled cache: a user and a model, no agents, nothing to win but what a chat repeats."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from random import Random

from radixdeck.storage.atoms import Atom, Prompt, length
from radixdeck.storage.streams import Stream

from .stream_files import UNKNOWN
from .stream_spec import Call
from .stream_tell import tell
from .workloads import WorkloadError

TURNS = 4.0
"""Mean number of questions in a conversation, geometric."""
QUESTION_TOKENS, ANSWER_TOKENS = (100.0, 1.0), (255.0, 0.75)
"""Median and sigma, log-normal: means of 161 and 338 tokens, as ShareGPT's in arXiv 2309.06180."""
THINK_S = (25.0, 0.9)
"""Median and sigma of the user's reading and typing, log-normal; made up, as is the share of conversations with one of
a few applications' system prompts."""
APPLICATIONS, APPLICATION_SHARE = 4, 1 / 3
APPLICATION_TOKENS = (200, 900)
LIVE = 24.0
PREFILL_TOKENS_PER_S, DECODE_TOKENS_PER_S = 8_000.0, 80.0


def chats_stream(seed: int, *, requests: int = 1_200, names: bool = True) -> Stream:
    """`names`: with what the daemon would infer, the agent 'unknown' and each conversation's session; else nothing.
    Raises WorkloadError if there are no requests."""
    if requests <= 0:
        raise WorkloadError(f"requests: {requests} is not above 0")
    rng = Random(f"chats {seed}")
    systems = [(f"application {n}", rng.randint(*APPLICATION_TOKENS)) for n in range(APPLICATIONS)]
    every_s = TURNS * (THINK_S[0] * math.exp(THINK_S[1] ** 2 / 2) + 4.0) / LIVE
    calls: list[Call] = []
    begin_s = 0.0
    for number in count():
        begin_s += rng.expovariate(1 / every_s)
        if len(calls) >= requests and begin_s > calls[requests - 1].start_s:
            break
        calls += _chat(Random(f"chat {seed} {number}"), number, begin_s, systems, names)
        calls.sort(key=lambda call: call.start_s)
    return tell(f"chats, seed {seed}{'' if names else ', no names'}", calls[:requests])


def _chat(rng: Random, number: int, start_s: float, systems: list[Atom], names: bool) -> Iterator[Call]:
    prompt: Prompt = (rng.choice(systems),) if rng.random() < APPLICATION_SHARE else ()
    for turn in count():
        prompt += ((f"question {number}.{turn}", _drawn(rng, QUESTION_TOKENS)),)
        answer = (f"answer {number}.{turn}", _drawn(rng, ANSWER_TOKENS))
        prefilled_s = start_s + length(prompt) / PREFILL_TOKENS_PER_S
        finish_s = prefilled_s + answer[1] / DECODE_TOKENS_PER_S
        last = rng.random() < 1 / TURNS
        yield Call(
            start_s=start_s, prefilled_s=prefilled_s, finish_s=finish_s, session=f"c{number}" if names else "",
            agent=UNKNOWN if names else "", prompt=prompt, output=(answer,), last=last,
        )  # fmt: skip
        if last:
            return
        prompt += (answer,)
        start_s = finish_s + rng.lognormvariate(math.log(THINK_S[0]), THINK_S[1])


def _drawn(rng: Random, shape: tuple[float, float]) -> int:
    median, sigma = shape
    return max(4, round(rng.lognormvariate(math.log(median), sigma)))
