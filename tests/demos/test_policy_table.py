"""The table of policies says what the newest records say, and is written between its markers only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_bench_policy import CASE, half, told

from radixdeck.demos import policy_table
from radixdeck.demos.policy_case import PolicyCase
from radixdeck.demos.policy_record import write
from radixdeck.demos.policy_table import main, newest, render


@pytest.fixture(autouse=True)
def cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_table, "CASES", {"zeal": (CASE,), "calm": (CASE,)})


def record(folder: Path, policy: str, hit_rate: float, case: PolicyCase = CASE) -> Path:
    return write(policy, {"seeds": [1]}, [case], [told((half(10, 1.0), half(hit_rate, 1.5)))], folder)


def test_each_policy_is_shown_by_its_newest_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, other = record(tmp_path, "zeal", 11), record(tmp_path, "calm", 30)
    new = record(tmp_path, "zeal", 12)
    record(tmp_path, "calm", 50, replace(CASE, requests=3))
    record(tmp_path, "zeal", 50, replace(CASE, tunables={"more": 1.0}))
    assert newest(tmp_path) == [other, new], "cases that were changed for a run are not what the table shows"
    lines = render([other, new]).splitlines()
    hits, faster = (
        "hit rate 10 → 30 points: +20.0 points (at least +10 points)",
        "requests/s 1 → 1.5: +50.0 % (at least +20 %)",
    )
    assert lines[2] == f"| `calm` | some, n=1 | {hits}<br>{faster} | kept |"
    missed = "**hit rate 10 → 12 points: +2.0 points (at least +10 points)**"
    assert lines[3] == f"| `zeal` | some, n=1 | {missed}<br>{faster} | **missed**: 1 of 2 |"
    brief = render([other, new], brief=True).splitlines()
    assert brief[2:] == [
        f"| `calm` | some, n=1 | {hits} | kept |",
        f"| `zeal` | some, n=1 | {missed} | **missed**: 1 of 2 |",
    ]
    assert main(["--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == render([other, new]) + "\n"
    assert render([old]) != render([new])


def test_a_floor_that_is_kept_by_less_than_its_error_is_said_to_be(tmp_path: Path) -> None:
    for number, (further, kept, floor) in enumerate((
        (18, "kept, 1 of 2 within error", "at least +10 points; within error"),
        (22, "kept", "at least +10 points"),
    )):  # fmt: skip
        pairs = told((half(10, 1.0), half(24, 1.5)), (half(10, 1.0), half(further, 1.5)))
        path = write("calm", {"seeds": [1, 2]}, [CASE], [pairs], tmp_path / str(number))
        row = render([path]).splitlines()[2]
        assert row.endswith(f"({floor})<br>requests/s 1 → 1.5: +50.0 % ±0.0 (at least +20 %) | {kept} |"), row


def test_it_is_written_between_the_markers_and_can_be_checked(tmp_path: Path) -> None:
    record(tmp_path, "calm", 30)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- policies of nothing -->\n<!-- end of policies -->\nafter\n")
    into = ["--results", str(tmp_path), "--into", str(page)]
    assert main(into) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- policies of policy_calm-")
    assert text.endswith("\n<!-- end of policies -->\nafter\n")
    assert main([*into, "--check"]) == 0
    page.write_text(text.replace("+20.0 points", "+21.0 points"))
    assert main([*into, "--check"]) == 1
    record(tmp_path, "calm", 20)
    assert main(into) == 0
    assert "+10.0 points" in page.read_text()


def test_what_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results", str(tmp_path)]) == 2
    record(tmp_path, "calm", 30)
    page = tmp_path / "page.md"
    page.write_text("no markers here")
    assert main(["--results", str(tmp_path), "--into", str(page)]) == 2
    assert "'<!-- end of policies -->'" in capsys.readouterr().err
