"""What the cache layer costs: a child's measurements become a record, a picture and a verdict, or an error in words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest

from radixdeck.daemon.engine.bench_cost import (
    CHOICE,
    CHOICE_SCORED,
    EVICT,
    LEARN_ANY,
    NOTE_ANY,
    OURS,
    SCORE,
    Cost,
    summary,
)
from radixdeck.demos import bench_cost
from radixdeck.demos.bench_cost import CostError, Settings, main, run
from radixdeck.demos.cost_verdict import PYTHON, Costs, floors, measured_text, verdict_text


def cost(what: str, core: str, nodes: int, us: float, agents: int = 0) -> Cost:
    return summary(nodes, agents, core, what, [us / 1e6])


def measured(*, large_us: float = 300.0, heap_us: float = 20_000.0, score_us: float = 0.8) -> list[Cost]:
    return [
        cost(CHOICE, PYTHON, 100_000, heap_us),
        cost(EVICT, PYTHON, 100_000, 3 * heap_us),
        cost(CHOICE, OURS, 10_000, 200.0, 24),
        cost(CHOICE, OURS, 100_000, 250.0, 24),
        cost(CHOICE, OURS, 1_000_000, large_us, 24),
        cost(SCORE, OURS, 10_000, score_us, 24),
        cost(NOTE_ANY, OURS, 10_000, 4.0, 24),
        cost(LEARN_ANY, OURS, 10_000, 40.0, 24),
    ]


def child(tmp_path: Path, costs: list[Cost], then: str = "") -> str:
    lines = "\n".join(msgspec.json.encode(cost).decode() for cost in costs)
    path = tmp_path / "child_of_bench.py"
    path.write_text(f"print({lines!r})\nprint('a word of SGLang')\n{then}")
    return path.stem


def test_a_summary_has_the_median_and_the_spread() -> None:
    seen = summary(10, 2, OURS, SCORE, [n / 1e6 for n in range(1, 101)])
    assert (seen.count, round(seen.median_us, 6)) == (100, 50.5)
    assert (round(seen.low_us), round(seen.high_us)) == (11, 90)


def test_floors_that_are_kept_and_missed() -> None:
    kept = floors(Costs(measured()))
    assert [floor.missed for floor in kept] == [False] * 5
    assert [round(floor.value, 6) for floor in kept] == [1.5, 80.0, 0.8, 4.0, 40.0]
    assert verdict_text(kept).splitlines()[-1] == "verdict: all 4 floors kept"
    missed = floors(Costs(measured(large_us=401.0, heap_us=4_999.0, score_us=1.1)))
    assert [floor.missed for floor in missed] == [True, True, True, False, False]
    assert verdict_text(missed).splitlines()[-1] == "verdict: 3 of 4 floors missed"


def test_what_is_learned_later_stands_beside_what_is_judged() -> None:
    *_, noted, learned = verdict_text(floors(Costs(measured()))).splitlines()[:-2]
    assert noted.startswith("note an event, mean over events")
    assert noted.endswith("yes")
    assert learned.startswith("learn from it later, mean over events")
    assert "40.00" in learned
    assert learned.endswith("NO, not judged")
    late = [cost(LEARN_ANY, OURS, 10_000, 40.0, 24)]
    assert verdict_text(floors(Costs(late))).endswith("verdict: nothing here that a floor is about")
    slow = floors(Costs([cost(NOTE_ANY, OURS, 10_000, 5.1, 24), *late]))
    assert verdict_text(slow).endswith("verdict: 1 of 1 floors missed")


def test_choosing_is_judged_where_everything_is_scored_first_too() -> None:
    slow = cost(CHOICE_SCORED, OURS, 100_000, 2_500.0, 24)
    *_, told = [floor for floor in floors(Costs([*measured(), slow])) if "all scored" in floor.name]
    assert (round(told.value, 6), told.kept, told.missed) == (8.0, False, True)
    assert "2,500" in measured_text(Costs([*measured(), slow]))


def test_what_was_not_measured_is_not_judged() -> None:
    assert floors(Costs([cost(EVICT, PYTHON, 1_000, 400.0)])) == []
    assert "nothing here" in verdict_text([])


def test_the_table_has_a_line_for_each_tree() -> None:
    rows = measured_text(Costs(measured())).splitlines()[2:]
    assert [row.split("  ")[0] for row in rows] == [
        "10,000 nodes, 24 agents, ours", "100,000 nodes, SGLang Python", "100,000 nodes, 24 agents, ours",
        "1,000,000 nodes, 24 agents, ours",
    ]  # fmt: skip
    assert rows[1].split()[-2:] == ["60,000", "20,000"]


def test_trees_too_small_for_their_agents_are_left_out() -> None:
    settings = Settings(sizes=[1_000], agents=[6, 500, 501])
    assert settings.command(1_000)[-4:] == ["6", "500", "--seconds", "1.0"]


def test_a_large_tree_is_measured_with_the_fewest_and_the_most_agents() -> None:
    settings = Settings(agents=[6, 24, 1_000])
    assert settings.fit(10_000) == [6, 24, 1_000]
    assert settings.fit(100_000) == settings.fit(1_000_000) == [6, 1_000]


def test_a_child_is_heard_line_by_line(tmp_path: Path) -> None:
    heard: list[Cost] = []
    module = child(tmp_path, measured())
    assert run((sys.executable, str(tmp_path / f"{module}.py")), heard.append) == heard == measured()


@pytest.mark.parametrize("printed", ["", "SGLang says hello", '{"nodes": 1}', '{"nodes": '])
def test_what_is_no_measurement_is_refused(printed: str) -> None:
    with pytest.raises(CostError, match="measur"):
        run((sys.executable, "-c", f"print({printed!r})"), lambda _: None)


def test_a_child_that_fails_is_told_in_its_last_words_and_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_cost, "MODULE", child(tmp_path, measured(), "raise SystemExit('out of memory')"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert main(["--quick", "--out", str(tmp_path / "out")]) == 2
    assert "out of memory" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("score_us", "code"), [(0.8, 0), (1.2, 1)])
def test_a_record_keeps_every_cost_and_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], score_us: float, code: int
) -> None:
    monkeypatch.setattr(bench_cost, "MODULE", child(tmp_path, measured(score_us=score_us)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "out"
    assert main(["--sizes", "100000", "--agents", "24", "--out", str(out)]) == code
    (path,) = out.glob("cost-*.json")
    record = json.loads(path.read_bytes())
    assert len(record["results"]["costs"]) == len(measured())
    assert record["verdict"]["passed"] is (code == 0)
    assert path.with_suffix(".png").stat().st_size > 1_000
    assert capsys.readouterr().out.splitlines()[-1].startswith("verdict:")
