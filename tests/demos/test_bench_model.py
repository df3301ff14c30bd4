"""The modelled bench: what it runs, how it judges, what it writes, and what it says to garbage."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from model_cells import PROTECT, cell, row

from radixdeck.demos import bench_model, bench_model_kept
from radixdeck.demos.bench_model import HINTED_AND_WARMED, Settings, main, parse, tasks
from radixdeck.demos.bench_model_cells import BUDGETS, Cell, Task, run_tasks
from radixdeck.demos.bench_model_judge import Row, gap_of, judge, mean_gap, passed
from radixdeck.demos.bench_model_kept import Kept
from radixdeck.demos.bench_model_text import results, text
from radixdeck.demos.bench_model_ways import (
    AGENTS,
    ANCHORS,
    ENDS,
    NEXT,
    OURS,
    PARTS,
    PATHS_IDLE,
    PATHS_NEXT,
    PATHS_SPARE,
    ablations,
    baselines,
    ours,
)
from radixdeck.demos.families import FAMILIES, GARBAGE, LOGS, MANY, PER_TASK, PLAIN
from radixdeck.demos.workloads import REPORT_SEEDS, TUNING_SEEDS, WorkloadError
from radixdeck.policies.registry import create


def perfect() -> list[Cell]:
    """Every target met: nearly the best everywhere, above it with prefetch, baselines behind."""
    cells: list[Cell] = []
    for family in (*AGENTS, GARBAGE, PER_TASK, MANY, PLAIN, LOGS):
        cells += [cell(family, hit=89), cell(family, PROTECT, hit=60)]
        cells += [cell(family, way, hit=90) for way in (ENDS, NEXT, PATHS_IDLE, PATHS_SPARE)]
        cells.append(cell(family, PATHS_NEXT, hit=93))
    return cells


def test_all_is_met_where_everything_is_nearly_perfect() -> None:
    rows = judge(perfect(), [PROTECT])
    assert [row for row in rows if not row.met] == []
    assert passed(rows)


@pytest.mark.parametrize(
    ("family", "hit", "what"),
    [
        ("pipeline", 85, "eviction alone: pipeline"),
        ("mixture", 77, "eviction alone: mixture"),
        ("debate", 75, "eviction alone: debate"),
        ("selector", 75, "eviction alone: selector"),
        ("random", 71, "eviction alone: random"),
        ("non-stationary", 73, "eviction alone: non-stationary"),
        (LOGS, 73, "real logs"),
        (LOGS, 60, "real logs: each above protecting shared prefixes"),
        (PLAIN, 50, "plain conversations: above LRU at every size"),
        (GARBAGE, 49, GARBAGE),
        (PER_TASK, 49, PER_TASK),
        (MANY, 49, MANY),
        (PLAIN, 48, "every trace of every family"),
        (MANY, 59, "above every baseline on the mean of each family"),
    ],
)
def test_a_target_that_is_missed_is_said(family: str, hit: int, what: str) -> None:
    """One cell of one family is worse than perfect."""
    cells = [seen for seen in perfect() if (seen.family, seen.way) != (family, OURS)]
    assert row(judge(perfect(), [PROTECT]), what).met
    assert row(judge([*cells, cell(family, hit=hit)], [PROTECT]), what).met is False


def test_half_a_point_below_lru_is_not_missed_and_more_is() -> None:
    exact = cell(GARBAGE, lru=50)
    for cached, met in ((495, True), (494, False)):
        below = msgspec.structs.replace(exact, cached_tokens=cached)
        told = row(judge([below], []), GARBAGE)
        assert (told.met, told.where) == (met, "a garbage ids, seed 1, 0.5 of the working set (kv_caching)")


def test_prefetch_is_held_against_the_best_without_it_and_either_way_counts() -> None:
    for idle, spare, met in ((90, 80, True), (80, 89, True), (88, 88, False)):
        cells = [cell("random", PATHS_IDLE, hit=idle), cell("random", PATHS_SPARE, hit=spare)]
        assert row(judge(cells, []), "path prefetch: hit rate").met is met
    for told, met in ((92, False), (93, True)):
        rows = judge([cell("random", PATHS_NEXT, hit=told)], [])
        assert row(rows, "path prefetch, next agent told").met is met


def test_what_was_not_measured_is_missed() -> None:
    rows = judge([cell("pipeline")], [PROTECT])
    assert row(rows, "eviction alone: debate") == Row(
        what="eviction alone: debate", target=">= 63 % of the gap", value="not measured", met=None
    )
    assert row(rows, "real logs").met is None
    assert not passed(rows)


def test_families_that_were_not_asked_for_are_not_judged() -> None:
    rows = judge([cell("pipeline", hit=89)], [], only=("pipeline",))
    assert "eviction alone: pipeline" in [row.what for row in rows]
    assert not [row for row in rows if "debate" in row.what or "all families" in row.what]


def test_a_policy_that_failed_spoils_the_verdict() -> None:
    failed = cell("random", failures=("kv_caching: score: ValueError: x",))
    told = row(judge([failed], []), "policies that failed on the way")
    assert (told.met, told.where) == (False, "kv_caching: kv_caching: score: ValueError: x")


def test_means_are_of_cells_where_there_is_something_to_win_and_of_families_alike() -> None:
    nothing = cell("debate", hit=10, lru=50, best=50)
    assert (nothing.gap, mean_gap([nothing]), nothing.points) == (None, 0.0, -40.0)
    cells = [cell("debate", hit=70), nothing, cell("random", hit=90), cell("random", hit=50)]
    assert mean_gap(cells) == pytest.approx((50 + 100 + 0) / 3)
    assert gap_of(cells, ("debate", "random")) == pytest.approx(50)
    assert gap_of(cells, ("selector",)) == 0.0


def test_the_text_ends_in_the_verdict_and_names_what_decided() -> None:
    told = text(perfect(), [], judge(perfect(), [PROTECT])).splitlines()
    assert told[-1] == "PASSED"
    assert sum(line.rstrip().endswith("  yes") for line in told) == len(judge(perfect(), []))
    below = [*perfect(), cell(MANY, hit=40, variant="a very bad one")]
    told = text(below, [], judge(below, [])).splitlines()
    assert told[-1] == "MISSED"
    assert any("a very bad one, seed 1" in line for line in told)
    assert msgspec.json.encode(results(perfect(), [cell("random")]))


# ---- what is run -----------------------------------------------------------------------------------------------------


def test_every_baseline_is_compared_and_parts_are_those_that_the_policy_declares() -> None:
    compared = {way.policy for way in baselines(quick=False)}
    assert compared > {"cachesage", "kvflow", "protect_shared", "slru", "lru_pages"}
    assert {way.label for way in baselines(quick=True)} < {way.label for way in baselines(quick=False)}
    assert [way.label for way in ours()][:2] == [OURS, ENDS]
    declared = {tunable.name for tunable in create(OURS).declares}
    for way in (*ours(), *ablations()):
        assert way.tunables.keys() <= declared
    left_out = {way.label for way in ablations() if way.label.startswith("without ")}
    assert left_out == {f"without {what}" for what in (*PARTS.values(), "the guard")}
    assert sum(way.label.endswith(" alone") for way in ablations()) == len(declared & PARTS.keys())


def test_a_quick_run_is_a_part_of_the_whole() -> None:
    whole, parts = tasks(Settings())
    quick, none = tasks(Settings(quick=True))
    assert not none
    assert {(task.family, task.variant) for task in quick} < {(task.family, task.variant) for task in whole}
    assert {task.family for task in quick} == {task.family for task in whole} == set(FAMILIES)
    assert {task.seed for task in whole} == set(REPORT_SEEDS)
    assert {task.seed for task in whole if any(way.prefetch for way in task.ways)} == {REPORT_SEEDS[0]}
    warmed = {(task.family, task.variant) for task in whole if any(way.prefetch for way in task.ways)}
    assert warmed == {(name, member.name) for name in AGENTS for member in FAMILIES[name] if member.agents == 12}
    assert {task.variant.split(", ")[-1] for task in parts} == {"12 agents"}
    beside = [way.label for way in parts[0].ways[:HINTED_AND_WARMED]]
    assert beside == [OURS, ENDS, NEXT, ANCHORS]
    assert [way.label for way in parts[0].ways[HINTED_AND_WARMED:]] == [way.label for way in ablations()]
    assert {task.seed for task in tasks(Settings(seeds=TUNING_SEEDS))[0]} == set(TUNING_SEEDS)


def test_a_run_of_evictions_only_is_the_whole_without_what_prefetches_and_ablations() -> None:
    whole, _ = tasks(Settings())
    evictions, none = tasks(Settings(evictions_only=True))
    assert parse(["--evictions-only"])[0].evictions_only
    assert not none
    assert [(task.family, task.variant, task.seed) for task in evictions] == [
        (task.family, task.variant, task.seed) for task in whole
    ]
    for before, task in zip(whole, evictions, strict=True):
        assert task.ways == tuple(way for way in before.ways if way.prefetch is None)


def test_seeds_are_the_reporting_ones_unless_told_and_one_where_it_must_be_quick() -> None:
    for arguments, seeds in (
        ([], REPORT_SEEDS),
        (["--tuning"], TUNING_SEEDS),
        (["--quick"], REPORT_SEEDS[:1]),
        (["--quick", "--seeds", "7", "8"], (7, 8)),
    ):
        assert parse(arguments)[0].seeds == seeds


def test_two_processes_find_what_one_finds() -> None:
    ways = (ours()[0], *baselines(quick=True)[:1])
    made = [Task("pipeline", FAMILIES["pipeline"][n].name, 5, 40, ways, None, budgets=(0.5,)) for n in range(2)]
    said: list[str] = []
    one, two = run_tasks(made, 1, said.append), run_tasks(made, 2, said.append)
    assert len(one) == 4
    assert all(seen.seeded for seen in one)
    assert [msgspec.structs.replace(seen, took_s=0) for seen in one] == [
        msgspec.structs.replace(seen, took_s=0) for seen in two
    ]
    assert said[-1].startswith("  2 of 2 streams")


def test_a_bench_that_is_killed_leaves_nobody_behind() -> None:
    words = ["-m", "radixdeck.demos.bench_model", "--seeds", "5", "--only", "pipeline", "--no-record"]
    bench = psutil.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
    try:
        while len(workers := [it for it in bench.children(recursive=True) if "spawn_main" in str(it.cmdline())]) < 2:
            assert bench.poll() is None
            time.sleep(0.1)
        time.sleep(2.0)  # until they are at work
    finally:
        bench.kill()
        bench.wait()
    gone, alive = psutil.wait_procs(workers, timeout=30)
    assert (len(gone), alive) == (2, [])


def test_a_run_goes_on_from_what_is_kept_and_a_broken_line_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = ["abc"]
    monkeypatch.setattr(bench_model_kept, "machine", lambda: {"commit": commit[0]})
    ways = baselines(quick=True)[:1]
    made = [Task("pipeline", FAMILIES["pipeline"][n].name, 5, 40, tuple(ways), None, budgets=(0.5,)) for n in range(2)]
    file, said = tmp_path / "kept", list[str]()
    first = run_tasks(made[:1], 1, said.append, Kept(file))
    file.write_bytes(file.read_bytes() + b'{"key": "half a li')
    whole = run_tasks(made, 1, said.append, Kept(file))
    assert whole[: len(first)] == first  # with the time that it took then
    assert said[1].startswith("  1 of 2 streams were run before")
    assert run_tasks(made, 1, said.append, Kept(file)) == whole
    elsewhere = replace(made[0], traces=tmp_path)
    assert Kept(file).cells(elsewhere) is None, "other traces have other streams"
    for other in ("abd", "abc+", ""):
        commit[0] = other
        Kept(file).keep(made[0], first)
        assert Kept(file).cells(made[0]) == (first if other == "abd" else None)


def test_a_task_of_something_unknown_is_refused() -> None:
    with pytest.raises(WorkloadError, match="'pipeline' has no 'up the hill'"):
        Task("pipeline", "up the hill", 5, 40, (), None).cells()


def test_a_run_writes_record_history_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--quick", "--requests", "40", "--seeds", "5", "--jobs", "1", "--only", MANY, "--out", str(tmp_path)]
    code = main([*asked, "--traces", str(tmp_path)])
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == ("PASSED" if code == 0 else "MISSED")
    (path,) = tmp_path.glob("model-*.json")
    record = json.loads(path.read_text())
    assert record["settings"]["seeds"] == [5]
    assert record["settings"]["budgets"] == list(BUDGETS)
    assert record["verdict"]["passed"] == (code == 0)
    assert {told["family"] for told in record["results"]["ways"]} == {MANY}
    assert path.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((tmp_path / "history.jsonl").read_text())["file"] == path.name
    assert "1 of 1 streams" in err


def test_garbage_on_the_command_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "weather", "--out", str(tmp_path / "out")]) == 2
    assert "family: no 'weather'; known: pipeline" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    for wrong in (["--requests", "0"], ["--seeds", "x"], ["--tuning", "--seeds", "4"], ["--jobs", "-1"]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2
        assert wrong[0] in capsys.readouterr().err


def test_a_run_that_is_stopped_records_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> list[Cell]:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_model, "run_tasks", stop)
    keep = tmp_path / "kept"
    assert main(["--quick", "--out", str(tmp_path / "out"), "--keep", str(keep)]) == 130
    assert not (tmp_path / "out").exists()
    assert f"what is through is in {keep}" in capsys.readouterr().err
    assert main(["--quick", "--keep", str(tmp_path / "no" / "folder")]) == 2
    assert "No such file" in capsys.readouterr().err
