"""Tables, records and pictures: readable, complete, and nothing that was written is ever lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from radixdeck.demos.drive import Outcome
from radixdeck.demos.picture import draw_distributions, draw_drives, draw_repetitions, rolling_hit_rate
from radixdeck.demos.report import HISTORY, Record, machine, save, table

PNG = b"\x89PNG\r\n"


def record(**changes: object) -> Record:
    told = {"kind": "bench", "at": "2026-01-02T03:04:05Z", "machine": {}, "settings": {"seed": 1}, "results": {"n": 1}}
    return Record(**(told | changes))


def test_a_table_lines_up_words_to_the_left_and_numbers_to_the_right() -> None:
    lines = table(["", "lru", "other"], [["hit rate", "1.0", "22.5"], ["n", "1,000", ""]]).split("\n")
    assert lines == [
        "            lru  other",
        "--------  -----  -----",
        "hit rate    1.0   22.5",
        "n         1,000",
    ]


def test_a_record_becomes_a_file_and_a_line_of_history(tmp_path: Path) -> None:
    path = save(record(), tmp_path / "new")
    assert path.name == "bench-20260102T030405Z.json"
    assert json.loads(path.read_bytes())["settings"] == {"seed": 1}
    (line,) = (tmp_path / "new" / HISTORY).read_text().splitlines()
    assert json.loads(line) == {"file": path.name, **json.loads(path.read_bytes())}


def test_a_second_record_of_the_same_second_replaces_nothing(tmp_path: Path) -> None:
    first = save(record(), tmp_path)
    kept = first.read_bytes()
    second = save(record(results={"n": 2}), tmp_path)
    assert first != second
    assert first.read_bytes() == kept
    assert len((tmp_path / HISTORY).read_text().splitlines()) == 2


def test_history_that_is_there_is_only_ever_added_to(tmp_path: Path) -> None:
    (tmp_path / HISTORY).write_text("an older line, whatever it says\n")
    save(record(), tmp_path)
    lines = (tmp_path / HISTORY).read_text().splitlines()
    assert lines[0] == "an older line, whatever it says"
    assert len(lines) == 2


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        save(record(), tmp_path / "file")


def test_a_record_says_what_it_ran_on() -> None:
    told = machine()
    assert told["cores"] >= 1
    assert told["processor"]
    assert str(Path.home()) not in json.dumps(told)


@pytest.mark.parametrize(
    ("says", "gpu"), [("echo NVIDIA H200; echo NVIDIA H200", "NVIDIA H200"), ("exit 9", ""), (None, "")]
)
def test_a_record_names_the_gpu_as_its_driver_does(
    says: str | None, gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if says is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine()["gpu"] == gpu


def outcomes(*cached_tokens: int) -> list[Outcome]:
    return [
        Outcome(index=n, agent="a", session="s", prompt_tokens=100, cached_tokens=cached, ttft_s=0.1 * (n + 1))
        for n, cached in enumerate(cached_tokens)
    ]


def test_the_rolling_hit_rate_forgets_what_left_the_window() -> None:
    assert rolling_hit_rate(outcomes(0, 100, 50, 50), window=2) == [0.0, 50.0, 75.0, 50.0]
    assert rolling_hit_rate([], window=2) == []


def test_pictures_are_drawn(tmp_path: Path) -> None:
    failed = Outcome(index=9, agent="a", session="s", error="HTTP 503")
    draw_drives(tmp_path / "drives.png", "title", {"lru": outcomes(1, 2), "kv_caching": [*outcomes(3, 4), failed]}, 0.5)
    draw_drives(tmp_path / "nothing.png", "title", {"lru": [failed]}, None)
    panels = {"hit rate, %": {"theirs": [1.0, 2.0], "ours": [2.0, 3.0]}, "ms": {"theirs": [1.0, 2.0], "ours": [1, 1]}}
    draw_repetitions(tmp_path / "repetitions.png", "title", ["1", "2"], panels, {"hit rate, %": [4.0, 5.0]})
    draw_distributions(tmp_path / "distributions.png", "title", {"ms": {"direct": [0.1, 0.2]}})
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 4
    assert all(path.read_bytes().startswith(PNG) for path in pictures)
