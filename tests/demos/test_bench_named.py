"""The named workloads in the modelled cache: the prompts are the engine's, and what is said of runs adds up."""

from __future__ import annotations

from itertools import pairwise

import pytest

from radixdeck.demos.bench_named import gain, main, run
from radixdeck.demos.named import spec_of
from radixdeck.demos.named_stream import named_stream
from radixdeck.demos.shape import sweep
from radixdeck.demos.workloads import TUNING_SEEDS, generate
from radixdeck.policies.events import AnswerGiven, SessionEnded, ToolCalled
from radixdeck.storage.streams import Stream

KV_TOKENS = 6_000


@pytest.fixture(scope="module")
def stream() -> Stream:
    return named_stream(spec_of("gaia", TUNING_SEEDS[0], 30), "gaia")


def test_lru_and_the_bound_are_those_of_the_rendered_prompts(stream: Stream) -> None:
    [size] = sweep(spec_of("gaia", TUNING_SEEDS[0], 30), [KV_TOKENS])
    reference = stream.reference(KV_TOKENS)
    assert (reference.lru.hit_rate, reference.best.hit_rate) == (size.lru, size.bound)


def test_requests_come_one_at_a_time_in_their_order_after_their_sessions_pause(stream: Stream) -> None:
    turns = generate(spec_of("gaia", TUNING_SEEDS[0], 30))
    assert [(one.agent, one.session) for one in stream.contents] == [(turn.agent, turn.session) for turn in turns]
    assert all(before.finish < after.start for before, after in pairwise(stream.requests))
    ended_ns: dict[str, int] = {}
    for turn, request in zip(turns, stream.requests, strict=True):
        if turn.session in ended_ns:
            assert request.start - ended_ns[turn.session] >= turn.think_s * 1e9 - 1
        ended_ns[turn.session] = request.finish


def test_nobody_tells_of_tools_or_ends(stream: Stream) -> None:
    told = [type(event) for event, _ in stream.moments]
    assert told.count(AnswerGiven) == 30
    assert ToolCalled not in told
    assert SessionEnded not in told


def test_an_agent_has_one_anchor_and_it_is_most_of_its_first_prompt(stream: Stream) -> None:
    anchors = {(content.agent, content.anchor) for content in stream.contents}
    assert len(anchors) == len({content.agent for content in stream.contents})
    first = stream.contents[0]
    assert sum(tokens for _, tokens in first.anchor) > 0.5 * stream.requests[0].prompt_tokens


def test_what_is_saved_is_what_was_not_computed(stream: Stream) -> None:
    runs = run([stream], "kv_caching", KV_TOKENS, speculates=True)
    told = gain(runs)
    saved = told.lru_computed_tokens - told.computed_tokens
    assert saved == pytest.approx(told.points / 100 * stream.prompt_tokens / 30)
    assert told.gap_percent == pytest.approx(100 * (runs[0].gap_closed or 0.0))
    assert told.least_points == told.points


def test_lru_gains_nothing_over_itself(stream: Stream) -> None:
    assert gain(run([stream], "lru", KV_TOKENS, speculates=False)).points == 0


def test_a_line_for_each_size_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gsm8k", "--requests", "15", "--sizes", "5000", "80000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[-2:]] == [["gsm8k", "5,000"], ["gsm8k", "80,000"]]


@pytest.mark.parametrize(
    ("told", "words"),
    [(["--policy", "nonsense"], "nonsense"), (["--sizes", "0"], "0 tokens"), (["--requests", "0"], "requests: 0")],
)
def test_what_cannot_be_run_is_said(told: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gsm8k", "--requests", "3", *told]) == 2
    assert words in capsys.readouterr().err
