"""The README's results are those of the record it names, and rendering them touches nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparison_runs import EQUAL, GOOD, comparison

from radixdeck.demos import readme_table
from radixdeck.demos.arms import Arms
from radixdeck.demos.bench_record import RecordError, read, write
from radixdeck.demos.named import NAMED
from radixdeck.demos.readme_table import PAGES, blocks, main, newest, render, replaced
from radixdeck.demos.report import RESULTS

EMPTY = "before\n<!-- results of none.json -->\n\n<!-- end of results -->\nafter\n"


def test_pages_say_what_their_records_say() -> None:
    readme, docs = (blocks(page.read_text(encoding="utf-8")) for page in PAGES)
    assert [one.brief for one in readme] == [True, True]
    assert [one.brief for one in docs] == [False, False]
    assert [one.record for one in readme] == [one.record for one in docs]
    for brief, _, results in readme:
        assert brief
        assert "| mmlu | 7,000 |" in results
    assert main(["--check"]) == 0


def record(folder: Path, *, quick: bool = False) -> Path:
    told = [comparison(GOOD), comparison(EQUAL, kv_tokens=80_000, tight=False)]
    return write(Arms(), [1], told, folder, quick=quick)


def test_a_record_becomes_two_tables_between_the_markers(tmp_path: Path) -> None:
    path = record(tmp_path)
    text = replaced(EMPTY, path)
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert [one.record for one in blocks(text)] == [path.name]
    assert "| gaia | 7,000 | SGLang's own cache | 20.0 % | 400 ms |" in text
    assert "| radixdeck | **50.0 %** (bound 60.0 %) | 300 ms |" in text
    assert "One run each (seed 1)" in text
    assert "+30.0 points | -25.0 % |" in text
    assert "| gaia | 80,000 | 60.0 % | 60.0 % | 60.0 % | +0.0 % |" in text
    assert replaced(text, path) == text


def test_in_brief_a_workload_is_a_line_and_what_it_costs_where_all_fits_another(tmp_path: Path) -> None:
    path = record(tmp_path)
    text = replaced(EMPTY.replace("results of", "results in brief of"), path)
    assert f"<!-- results in brief of {path.name} -->\n{render(path, brief=True)}\n" in text
    assert (
        "| gaia | 7,000 | 20.0 → 50.0 %: +30.0 points | 60.0 % | 400 → 300 ms: -25.0 % | 2.00 → 2.40: +20.0 % |" in text
    )
    assert "hit rates are the same (within 0.0 points), and mean TTFT is +0.0 % (+0.0 to +0.0 in 1 runs)" in text
    missed = render(write(Arms(), [1], [comparison(EQUAL)], tmp_path, quick=False), brief=True)
    assert "+0.0 points **missed**" in missed
    assert "Where memory holds" not in missed


def test_results_behind_the_first_keep_their_record_and_are_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, readme = record(tmp_path), record(tmp_path), tmp_path / "README.md"
    kept = replaced(EMPTY, first)
    readme.write_text(replaced(EMPTY + kept, second))
    monkeypatch.setattr(readme_table, "RESULTS", tmp_path)
    assert [one.record for one in blocks(readme.read_text())] == [second.name, first.name]
    assert readme.read_text().endswith(kept)
    assert main(["--page", str(readme), "--check"]) == 0
    readme.write_text(readme.read_text().removesuffix(kept) + kept.replace("20.0 %", "19.0 %"))
    assert main(["--page", str(readme), "--check"]) == 1


def test_a_floor_that_is_missed_is_marked(tmp_path: Path) -> None:
    path = write(Arms(), [1], [comparison(EQUAL)], tmp_path, quick=False)
    assert "| +0.0 points **missed** | +0.0 % **missed** |  |  | +0.0 % **missed** |" in render(path)


def test_several_runs_show_their_spread(tmp_path: Path) -> None:
    told = comparison(GOOD, GOOD)
    text = render(write(Arms(), [1, 2], [told], tmp_path, quick=False))
    assert "Means of 2 runs (seeds 1, 2), spread behind ±" in text
    assert "+30.0 points ±0.0 | -25.0 % ±0.0 |" in text


@pytest.fixture
def gaia_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no other workload had a name."""
    monkeypatch.setattr(readme_table, "NAMED", {"gaia": NAMED["gaia"]})


def test_a_record_of_some_workloads_is_not_a_full_one(tmp_path: Path) -> None:
    record(tmp_path)
    with pytest.raises(RecordError, match="no full benchmark"):
        newest(tmp_path)
    assert {one.name for one in read(newest(RESULTS))} == set(NAMED)


@pytest.mark.usefixtures("gaia_alone")
def test_the_newest_full_record_is_taken(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="history"):
        newest(tmp_path)
    record(tmp_path, quick=True)
    with pytest.raises(RecordError, match="no full benchmark"):
        newest(tmp_path)
    first, second = record(tmp_path), record(tmp_path)
    record(tmp_path, quick=True)
    assert first != second
    assert newest(tmp_path) == second


@pytest.mark.usefixtures("gaia_alone")
def test_a_readme_without_markers_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, readme = record(tmp_path), tmp_path / "README.md"
    readme.write_text("no place\n")
    assert main(["--record", str(path), "--page", str(readme)]) == 2
    assert "results of RECORD.json" in capsys.readouterr().err
    assert readme.read_text() == "no place\n"
    readme.write_text(EMPTY)
    monkeypatch.setattr(readme_table, "RESULTS", tmp_path)
    assert main(["--page", str(readme)]) == 0
    assert main(["--page", str(readme), "--check"]) == 0
    readme.write_text(readme.read_text().replace("20.0 %", "19.0 %"))
    assert main(["--page", str(readme), "--check"]) == 1
