"""The judge of answers from memory, and the benchmark's record; the whole once, small, over real pipes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from radixdeck.demos.bench_memo import ARMS, CONTROL, Arm, Settings, main, measured, text, verdict, write
from radixdeck.demos.memo_trace import Seen, Shape, Step, steps, wrong_answers
from radixdeck.demos.progress import Progress


def put(value: str, began_s: float, ended_s: float, key: str = "k") -> Seen:
    return Seen("a", Step("put", {"key": key, "value": value}), began_s, ended_s, "stored")


def get(answer: str, began_s: float, ended_s: float) -> Seen:
    return Seen("b", Step("get", {"key": "k"}), began_s, ended_s, answer)


def search(answer: list[str], began_s: float, ended_s: float) -> Seen:
    return Seen("b", Step("search", {"text": "red"}), began_s, ended_s, answer)


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (get("nothing", 0, 0.5), True),
        (get("red 1", 0, 0.5), False),
        (get("nothing", 0, 1.5), True),
        (get("red 1", 0, 1.5), True),
        (get("nothing", 2.1, 3), False),
        (get("red 1", 2.1, 3), True),
        (get("red 1", 4.5, 4.6), True),
        (get("blue 2", 4.5, 4.6), True),
        (get("red 1", 5.1, 6), False),
        (search([], 2.1, 3), False),
        (search(["k"], 2.1, 3), True),
        (search(["k"], 4.5, 4.6), True),
        (search(["k"], 5.1, 6), False),
        (search([], 5.1, 6), True),
    ],
)
def test_an_answer_is_right_if_the_store_can_have_held_it_meanwhile(call: Seen, right: bool) -> None:
    writes = [put("red 1", 1, 2), put("blue 2", 4, 5)]
    assert (wrong_answers([*writes, call]) == []) == right


def test_of_two_changes_at_a_time_either_may_have_been_the_last() -> None:
    writes = [put("red 1", 1, 3), put("blue 2", 2, 4)]
    assert wrong_answers([*writes, get("red 1", 5, 6), get("blue 2", 5, 6)]) == []
    assert len(wrong_answers([*writes, get("nothing", 5, 6)])) == 1


def test_a_clock_that_says_the_same_twice_is_wrong() -> None:
    ticks = [Seen("a", Step("clock", {}), 0, 1, answer) for answer in ("1", "2", "1")]
    assert wrong_answers(ticks) == ticks[2:]


def test_a_seed_says_what_is_called() -> None:
    assert steps(Shape(), 11) == steps(Shape(), 11) != steps(Shape(), 12)
    assert {step.tool for calls in steps(Shape(), 11).values() for step in calls} == {"get", "put", "search", "clock"}


def arm(name: str, **more: object) -> Arm:
    said = ["radixdeck mcp-proxy: tool clock off: so"]
    base = {"seed": 1, "calls": 10, "ran": 10 if name == "no proxy" else 6, "wrong": int(name == CONTROL), "said": said}
    times = {"whole_s": 1.0, "mean_s": 0.1, "p50_s": 0.1, "p95_s": 0.1}
    return Arm(name=name, **{**base, **times, **more})  # type: ignore[arg-type]


def test_the_verdict_and_the_record(tmp_path: Path) -> None:
    arms = [arm(name) for name in ARMS]
    assert all(verdict(arms).values())
    assert not verdict([*arms[:-2], arm("by key", wrong=1), arms[-1]])["no wrong answer"]
    assert not verdict([*arms[:-2], arm("by key", ran=10), arms[-1]])["fewer calls ran"]
    assert not verdict([*arms[:-2], arm("by key", said=[]), arms[-1]])["the clock was switched off"]
    assert not verdict([*arms[:-1], arm(CONTROL, wrong=0)])["the control has wrong answers"]
    path = write(Settings(seeds=(1,)), arms, {"straight": 1.0}, tmp_path)
    assert json.loads(path.read_bytes())["verdict"]["passed"]
    assert path.with_suffix(".png").is_file()
    assert "40.0 %" in text(arms, {"straight": 1.0})


def test_the_whole_on_a_few_calls() -> None:
    settings = Settings(shape=Shape(agents=2, steps=12), tool_s=0.001, seeds=(11,))
    told = asyncio.run(measured(settings, Progress()))
    assert [one.name for one in told] == list(ARMS)
    assert [one.wrong for one in told if one.name != CONTROL] == [0] * 4
    assert [one.ran for one in told[:2]] == [24, 24]


def test_no_seeds_are_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--seeds"])
