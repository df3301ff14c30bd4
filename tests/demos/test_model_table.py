"""The tables of the modelled bench say what the newest whole records say, of each kind of traffic by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from radixdeck.demos.bench_model_judge import Row, Summary
from radixdeck.demos.bench_model_ways import ENDS, NEXT, OURS, baselines
from radixdeck.demos.bench_record import RecordError
from radixdeck.demos.model_table import main, newest, render
from radixdeck.demos.report import Record, save
from radixdeck.demos.workloads import REPORT_SEEDS

RULES = [way.label for way in baselines(quick=False)]
GOAL = ">= 60 % of the gap"


def summary(way: str, family: str, gap: float, cells: int = 12) -> dict[str, Any]:
    told = Summary(
        way=way, family=family, cells=cells, gap=gap, spread=1.0, hit=50.0, lru=40.0, best=60.0, worst=0.5,
        worst_where="somewhere",
    )  # fmt: skip
    return msgspec.to_builtins(told)


def whole(family: str, gap: float, cells: int = 12) -> list[dict[str, Any]]:
    """As if all had run: the rules at 10 %, but TTL pinning at 20."""
    rules = [summary(name, family, 20 if name == "ttl_pinning" else 10, cells) for name in RULES]
    return [summary(OURS, family, gap, cells), summary(ENDS, family, 70), summary(NEXT, family, 75), *rules]


def record(
    folder: Path,
    ways: Sequence[dict[str, Any]],
    targets: Sequence[Row] = (),
    at: str = "2026-01-02T03:04:05Z",
    **settings: Any,
) -> Path:
    settings = {"quick": False, "seeds": list(REPORT_SEEDS)} | settings
    verdict = {"targets": msgspec.to_builtins(list(targets)), "passed": False}
    told = Record(kind="model", at=at, machine={}, settings=settings, results={"ways": list(ways)}, verdict=verdict)
    return save(told, folder)


def test_each_kind_of_traffic_is_shown_by_its_newest_whole_record(tmp_path: Path) -> None:
    old = record(tmp_path, [*whole("real logs", 40), *whole("200 agents", 50)])
    new = record(tmp_path, whole("real logs", 45.25))
    record(tmp_path, whole("real logs", 99), quick=True)
    record(tmp_path, whole("real logs", 98), seeds=[11, 12, 13])
    record(tmp_path, whole("real logs", 97)[:-1])
    record(tmp_path, whole("real logs", 96, cells=4))
    assert newest(tmp_path) == [old, new], "neither quick ones nor other seeds, fewer rules or fewer traces"
    lines = render([old, new]).splitlines()
    assert lines[2] == "| 200 agents | **50.0 %** ±1.0 | +10.0 | TTL pinning 20 % | 70 % | 75 % | +0.50 |"
    assert lines[3].startswith("| real logs (Who&When) | **45.2 %** ±1.0 |")


def test_topologies_are_summed_up_once_all_are_there(tmp_path: Path) -> None:
    some = ["pipeline", "debate", "selector", "random", "mixture"]
    told = [way for number, family in enumerate(some) for way in whole(family, 60 + number)]
    assert "all of these" not in render([record(tmp_path, told)])
    text = render([record(tmp_path, [*told, *whole("non-stationary", 65)])])
    assert "| **all of these** | **62.5 %** | +10.0 | TTL pinning 20 % | 70 % | 75 % | +0.50 |" in text


def test_a_target_is_as_in_the_newest_record_or_the_worst_if_it_is_about_all(tmp_path: Path) -> None:
    every, target = "every trace of every family", "each >= LRU -1 points"
    rows = [
        [
            Row(what=every, target=target, value="worst +1.41", met=True),
            Row(what="real logs", target=GOAL, value="39.0 %", met=False),
            Row(what="prefetch", target=target, value="+0.8", met=True),
        ],
        [Row(what=every, target=target, value="worst -0.65", met=True, where="a log")],
        [
            Row(what="real logs", target=GOAL, value="41.1 %", met=False),
            Row(what="with prefetch", target=target, value="not measured", met=None),
        ],
    ]
    records = [record(tmp_path, whole("real logs", 40), told) for told in rows]
    text = render(records)
    assert newest(tmp_path) == [records[0], records[2]], "the first one judges what no other does"
    assert "2 of 3 targets are reached:" in text
    assert "39.0 %" not in text
    assert f"| {every} | each at least LRU -1 points | worst -0.65 | reached |" in text
    assert "| real logs | at least 60 % of the gap | 41.1 % | **missed** |" in text
    assert "with prefetch" not in text
    assert render(records, brief=True).splitlines()[-1] == "- real logs: 41.1 % (wanted: at least 60 % of the gap)"
    assert render(records[1:2], brief=True).endswith("\n1 of 1 targets are reached.")


def test_targets_stand_in_the_order_of_the_record_that_measured_most(tmp_path: Path) -> None:
    told = [["real logs"], ["all families", "pipeline", "real logs"], ["pipeline", "plain"]]
    rows = [[Row(what=what, target=GOAL, value="41.1 %", met=False) for what in whats] for whats in told]
    lines = render([record(tmp_path, whole("real logs", 40), one) for one in rows]).splitlines()
    shown = [line.split(" | ")[0].removeprefix("| ") for line in lines if "**missed**" in line]
    assert shown == ["all families", "pipeline", "real logs", "plain"]


def test_a_file_gets_the_table_between_its_markers_only(tmp_path: Path) -> None:
    page, path = tmp_path / "page.md", record(tmp_path, whole("real logs", 40))
    page.write_text("before\n<!-- model in brief of none.json -->\n<!-- end of model -->\nafter\n")
    asked = ["--results", str(tmp_path), "--into", str(page), "--brief"]
    assert main([*asked, "--check"]) == 2, "there is no such record"
    assert main(asked) == 0
    assert page.read_text() == (
        f"before\n<!-- model in brief of {path.name} -->\n{render([path], brief=True)}\n<!-- end of model -->\nafter\n"
    )
    assert main([*asked, "--check"]) == 0
    page.write_text(page.read_text().replace("40.0 %", "41.0 %"))
    assert main([*asked, "--check"]) == 1


def test_what_cannot_be_shown_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("no place\n")
    record(tmp_path, whole("real logs", 40), quick=True)
    with pytest.raises(RecordError, match="no bench of the model"):
        newest(tmp_path)
    path = record(tmp_path, whole("real logs", 40))
    assert main(["--results", str(tmp_path), "--into", str(page)]) == 2
    assert "<!-- model of RECORD.json -->" in capsys.readouterr().err
    assert page.read_text() == "no place\n"
    for garbage in (b"{", b'{"kind": 1}', path.read_bytes().replace(b'"gap": 40', b'"gap": "much"')):
        path.write_bytes(garbage)
        assert main(["--results", str(tmp_path)]) == 2
        assert "model_table: " in capsys.readouterr().err
