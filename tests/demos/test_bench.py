"""The benchmark without an engine: what it would run, what it keeps when a run fails, and what it leaves behind."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from comparison_runs import EQUAL, GOOD, comparison

from radixdeck.daemon.engine.args import command
from radixdeck.demos import bench
from radixdeck.demos.arms import Arms, Case
from radixdeck.demos.bench_record import RecordError, read, write
from radixdeck.demos.live import LiveError
from radixdeck.demos.named import NAMED
from radixdeck.demos.progress import Progress
from radixdeck.demos.versus import SIDES, Repetition, Side
from radixdeck.demos.workloads import REPORT_SEEDS, TUNING_SEEDS


def test_the_full_benchmark_measures_every_workload_on_every_seed_and_size() -> None:
    settings, _ = bench.parse([])
    runs = list(bench.schedule(settings))
    tight = Counter((case.name, seed) for case, seed, _ in runs if case.tight)
    assert tight == dict.fromkeys(((name, seed) for name in NAMED for seed in REPORT_SEEDS), 1)
    grown = Counter((case.name, case.kv_tokens) for case, _, _ in runs if not case.tight)
    assert grown == dict.fromkeys(((name, size) for name in NAMED for size in NAMED[name].kv_tokens[1:]), 1)


def test_which_system_goes_first_alternates_over_the_run_and_for_each_workload() -> None:
    settings, _ = bench.parse(["--tight"])
    runs = list(bench.schedule(settings))
    assert [first for _, _, first in runs[:4]] == ["sglang", "radixdeck", "sglang", "radixdeck"]
    for name in NAMED:
        assert len({first for case, _, first in runs if case.name == name}) == 2


def test_the_quick_benchmark_measures_every_workload_once_at_its_tight_size() -> None:
    settings, _ = bench.parse(["--quick"])
    assert [(case.name, case.kv_tokens) for case, _, _ in bench.schedule(settings)] == [
        (name, named.kv_tokens[0]) for name, named in NAMED.items()
    ]
    assert settings.seeds == REPORT_SEEDS[:1]


def test_no_benchmark_runs_on_the_seeds_that_shaped_the_workloads_unless_told_to() -> None:
    for arguments in ([], ["--quick"], ["general"]):
        assert not set(bench.parse(arguments)[0].seeds) & set(TUNING_SEEDS)


def test_what_is_typed_changes_the_workload_and_its_size() -> None:
    typed = ["general", "--kv-tokens", "5000", "--topology", "selector", "--agents", "24", "--policy", "lru"]
    settings, out = bench.parse([*typed, "--out", "there", "--session-ends"])
    (case,) = settings.cases
    assert (case.kv_tokens, case.workload.topology, case.workload.agents, case.tight) == (5000, "selector", 24, True)
    assert (settings.arms.policy, settings.arms.session_ends, out) == ("lru", True, Path("there"))
    (case,) = bench.parse(["--logs", "x/talks"])[0].cases
    assert (case.name, case.logs) == ("talks", Path("x/talks"))


def test_both_servers_get_the_same_model_and_what_follows_two_dashes() -> None:
    settings, _ = bench.parse(["mmlu", "--size", "8b", "--", "--attention-backend", "triton"])
    assert [case.name for case in settings.cases if case.tight] == ["mmlu"]
    both = [command(settings.arms.engine(side, 7_000), "MODEL", 1) for side in SIDES]
    for words in both:
        assert words[-2:] == ["--attention-backend", "triton"]
        assert words[words.index("--load-format") + 1] == "dummy"
        assert words[words.index("--served-model-name") + 1] == "radixdeck-8b"
    assert "--load-format" not in command(bench.parse([])[0].arms.engine("sglang", 7_000), "MODEL", 1)


def test_an_unknown_workload_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.parse(["mmlu", "chess"])
    assert "no workload 'chess'; known: mmlu, mt_bench" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--requests", "0"], "requests: 0 is not positive"), (["--logs", "missing"], "missing: no such file")],
)
def test_a_benchmark_that_cannot_run_says_why_and_records_nothing(
    tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def measuring(monkeypatch: pytest.MonkeyPatch, *, fails_at: int = -1, stops_at: int = -1) -> None:
    """Every pair is measured at once as GOOD, but for one that fails and one at which Ctrl-C is pressed."""
    calls: list[str] = []

    async def measure(arms: Arms, case: Case, seed: int, first: Side, progress: Progress) -> Repetition:
        calls.append(case.name)
        if len(calls) - 1 == stops_at:
            raise KeyboardInterrupt
        if len(calls) - 1 == fails_at:
            raise LiveError("the engine would not start")
        return GOOD

    monkeypatch.setattr(bench, "measure_both", measure)


def test_a_quick_benchmark_that_reaches_its_floors_says_so_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(monkeypatch)
    assert bench.main(["--quick", "--requests", "3", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "PASSED"
    (path,) = tmp_path.glob("bench-*.json")
    told = json.loads(path.read_bytes())
    assert told["settings"]["quick"] is True
    assert told["verdict"]["passed"] is True
    assert set(told["verdict"]["workloads"]) == {f"{name} at {named.kv_tokens[0]}" for name, named in NAMED.items()}


def test_a_run_that_fails_is_recorded_as_lost_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(monkeypatch, fails_at=1)
    assert bench.main(["--quick", "--requests", "3", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "mt_bench at 7,000: doubtful: seed 101 could not be measured: the engine would not start" in printed
    assert "gaia radixdeck" in printed
    assert printed.splitlines()[-1] == "MISSED"


def test_what_is_done_is_kept_when_the_rest_is_called_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measuring(monkeypatch, stops_at=2)
    assert bench.main(["--quick", "--requests", "3", "--out", str(tmp_path)]) == 130
    (path,) = tmp_path.glob("bench-*.json")
    told = {one.name: one for one in read(path)}
    assert [len(told[name].repetitions) for name in NAMED] == [1, 1, 0, 0, 0]
    assert told["gaia"].lost == ["1 repetitions were not measured"]


def test_nothing_is_recorded_when_nothing_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measuring(monkeypatch, stops_at=0)
    assert bench.main(["--quick", "--requests", "3", "--out", str(tmp_path / "out")]) == 130
    assert not (tmp_path / "out").exists()


def test_a_record_is_read_back_as_it_was_written_and_names_no_folder(tmp_path: Path) -> None:
    told = [comparison(GOOD), comparison(EQUAL, kv_tokens=80_000, tight=False)]
    path = write(Arms(home=str(tmp_path), model=f"{tmp_path}/small"), [1], told, tmp_path / "out", quick=False)
    assert read(path) == told
    assert str(tmp_path) not in path.read_text()
    assert path.with_suffix(".png").is_file()
    assert path.with_name(f"{path.stem}-memory.png").is_file()
    assert json.loads((tmp_path / "out" / "history.jsonl").read_text())["file"] == path.name


@pytest.mark.parametrize("content", ["", "{}", '{"kind":"x","at":"","machine":{},"settings":{},"results":{}}'])
def test_what_is_no_record_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(RecordError, match=r"other\.json: not a record"):
        read(tmp_path / "other.json")
