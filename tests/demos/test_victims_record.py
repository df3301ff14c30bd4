"""What choosing a victim costs: the table of another process becomes a record, or an error that says what it said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from radixdeck.demos import bench_victims
from radixdeck.demos.bench_victims import Row, VictimsError, parse, run, text

PRINTED = """   nodes subjects       ours  SGLang, Python  SGLang, Rust   us per evicted leaf
    1000       24         90             400            80
  100000      240        150           21000           140
"""


def test_a_printed_table_becomes_rows() -> None:
    rows = run((sys.executable, "-c", f"print({PRINTED!r})"))
    assert rows == [Row(1_000, 24, 90, 400, 80), Row(100_000, 240, 150, 21_000, 140)]
    assert text(rows).splitlines()[-1].split() == ["100,000", "240", "150", "21,000", "140"]


@pytest.mark.parametrize("garbage", ["", "nodes subjects", "1000 24 90 400", "1000 24 90 400 80 7", "1000 24 x 400 80"])
def test_what_is_no_table_is_refused(garbage: str) -> None:
    with pytest.raises(VictimsError, match="printed"):
        parse(garbage)


def test_a_measurement_that_fails_is_told_in_its_last_words_and_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_victims, "MODULE", "radixdeck.no_such_measurement")
    assert bench_victims.main(["--out", str(tmp_path / "out")]) == 2
    assert "No module named" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_record_keeps_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "printed_table.py").write_text(f"print({PRINTED!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(bench_victims, "MODULE", "printed_table")
    assert bench_victims.main(["--out", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").glob("victims-*.json")
    first, last = json.loads(path.read_bytes())["results"]["rows"]
    assert (first["nodes"], last["sglang_rust_us"]) == (1_000, 140)
