"""From numbers to verdicts: three floors on the mean, and no comparison of unlike runs ever passes."""

from __future__ import annotations

import msgspec
import pytest
from comparison_runs import EQUAL, GOOD, comparison, repetition, summary

from radixdeck.demos.measure import Summary
from radixdeck.demos.verdicts import passed, text
from radixdeck.demos.versus import judge


def test_the_verdict_is_the_mean_over_repetitions() -> None:
    other = repetition(2, summary(0.2, 0.4), summary(0.3, 0.36, 2.0))
    verdict = judge(comparison(GOOD, other))
    assert verdict.hit_points == pytest.approx(20.0)
    assert verdict.ttft_percent == pytest.approx(-17.5)
    assert verdict.throughput_percent == pytest.approx(10.0)
    assert verdict.room_points == pytest.approx(40.0)
    assert verdict.passed
    assert text([comparison(GOOD, other)]).endswith("PASSED")


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (summary(0.32, 0.2, 2.4), "hit rate +12.0 points, floor +13, bound +40.0"),
        (summary(0.6, 0.36, 2.4), "mean TTFT -10.0 %, floor -12 %"),
        (summary(0.6, 0.2, 2.1), "throughput +5.0 %, floor +6 %"),
    ],
)
def test_a_floor_that_is_missed_is_named_and_fails_everything(ours: Summary, words: str) -> None:
    missed = comparison(repetition(1, summary(0.2, 0.4), ours))
    assert judge(missed).missed == [words]
    told = [comparison(GOOD, name="mmlu"), missed]
    assert not passed(told)
    assert f"gaia at 7,000: missed: {words}" in text(told)
    assert text(told).endswith("MISSED")


def test_floors_are_not_for_sizes_at_which_there_is_nothing_to_win() -> None:
    roomy = comparison(EQUAL, tight=False, kv_tokens=80_000)
    assert judge(roomy).passed
    assert not judge(comparison(EQUAL)).passed
    printed = text([comparison(GOOD), roomy])
    assert printed.index("  7,000 ") < printed.index("As memory grows") < printed.index(" 80,000 ")


def test_a_setting_that_is_not_tight_after_all_is_told() -> None:
    slack = comparison(repetition(1, summary(0.45, 0.4), summary(0.6, 0.3, 2.4)))
    assert "the bound is only +15.0 points above" in text([slack])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failed": 1}, "radixdeck: 1 requests failed"),
        ({"retried": 2}, "2 needed another try"),
        ({"prompt_tokens": 1_001}, "prompts differ: 1000 and 1001"),
        ({"requests": 9}, "the bound covers 10 of 9"),
    ],
)
def test_a_comparison_of_unlike_runs_never_passes(changes: dict[str, object], words: str) -> None:
    told = comparison(repetition(1, summary(0.2, 0.4), summary(0.5, 0.2, 2.4, **changes)))
    verdict = judge(told)
    assert not verdict.missed
    assert not verdict.passed
    assert words in verdict.faults[0]
    assert words in text([told])


def test_what_was_not_measured_never_passes() -> None:
    told = msgspec.structs.replace(comparison(GOOD), lost=["seed 3 could not be measured: no engine"])
    assert not judge(told).passed
    assert "no engine" in text([told])
    assert not judge(comparison()).passed
    assert not passed([])
