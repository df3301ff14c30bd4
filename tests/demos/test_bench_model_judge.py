"""The modelled bench judges what was measured: baselines left out, failed ablations, spreads over seeds."""

from __future__ import annotations

import pytest
from model_cells import PROTECT, cell, row

from radixdeck.demos import bench_model
from radixdeck.demos.bench_model import main
from radixdeck.demos.bench_model_judge import Row, judge, summarise
from radixdeck.demos.bench_model_ways import OURS

ABOVE = "above every baseline on the mean of each family"


def test_being_above_the_baselines_is_not_measured_while_one_of_them_did_not_run_on_every_trace() -> None:
    both = [cell(family, way) for family in ("random", "debate") for way in (OURS, PROTECT, "slru")]
    assert row(judge(both, [PROTECT, "slru"]), ABOVE).met
    half = [cell("random", seed=2), cell("random", PROTECT, seed=2)]
    for cells, absent in (
        ([seen for seen in both if seen.way != "slru"], "slru"),
        ([seen for seen in both if (seen.family, seen.way) != ("debate", PROTECT)], PROTECT),
        ([*both, *half], "slru"),
        ([seen for seen in both if seen.way != OURS], OURS),
        ([], ""),
    ):
        assert row(judge(cells, [PROTECT, "slru"]), ABOVE) == Row(
            what=ABOVE, target="0 exceptions", value="not measured", met=None, where=absent
        )
    below = [*both[1:2], cell("random", hit=10)]
    assert row(judge(below, [PROTECT, "slru"]), ABOVE).met is False, "that one of them is above is known"


def test_a_policy_that_failed_in_an_ablation_spoils_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = cell("random", "guard alone", failures=("kv_caching: score: ValueError: x",))
    told = row(judge([cell("random")], [], parts=[failed]), "policies that failed on the way")
    assert (told.met, told.where) == (False, "guard alone: kv_caching: score: ValueError: x")
    monkeypatch.setattr(bench_model, "run", lambda *_: ([cell("random")], [failed]))
    assert main(["--no-record"]) == 1
    assert "policies that failed on the way: guard alone" in capsys.readouterr().out


def test_the_spread_is_over_seeds() -> None:
    cells = [cell("random", hit=hit, seed=seed) for seed, hit in ((1, 70), (1, 90), (2, 90), (3, 90))]
    seen = summarise(cells, OURS, "random")
    assert (seen.cells, seen.gap, seen.hit) == (4, pytest.approx(87.5), pytest.approx(85))
    assert seen.spread == pytest.approx(14.43, abs=0.01)
    assert seen.worst == pytest.approx(20)
    with pytest.raises(ValueError, match="no cells of 'lru' in 'random'"):
        summarise(cells, "lru", "random")


def test_a_trace_that_seeds_do_not_change_is_in_the_mean_and_not_in_the_spread() -> None:
    """It ran on the first seed alone, and would make that one differ from the others."""
    trace = cell("random", hit=60, seed=1, variant="a trace", seeded=False)
    cells = [cell("random", hit=hit, seed=seed) for seed, hit in ((1, 80), (2, 90), (3, 70))]
    seen = summarise([*cells, trace], OURS, "random")
    assert (seen.cells, seen.gap) == (4, pytest.approx(62.5))
    assert seen.spread == pytest.approx(summarise(cells, OURS, "random").spread) == pytest.approx(25)
    assert summarise([trace], OURS, "random").spread == 0
