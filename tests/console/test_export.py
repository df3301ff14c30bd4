"""What is listed as a file: complete, in the named form, never over another file, safe to open elsewhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from scenario import run_events
from staging import SMALL, console, drawn, toasts

from radixdeck.console.export import as_csv, write_new


async def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *keys: str) -> Path:
    monkeypatch.chdir(tmp_path)
    async with console(SMALL) as pilot:
        for key in keys:
            await pilot.press(key)
            await drawn(pilot)
    (path,) = tmp_path.iterdir()  # noqa: ASYNC240 - a test waits for nobody
    return path


async def test_a_table_is_written_with_its_hidden_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await written(tmp_path, monkeypatch, "3", "X")
    assert path.name == "radixdeck-agents.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {row["agent"] for row in rows} >= {"coder", "critic", "search[web]"}
    assert rows[0]["errors"] == "0"


async def test_events_are_written_as_tail_prints_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await written(tmp_path, monkeypatch, "5", "v", "X")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records) == len(run_events())
    assert records[0]["k"] == "engine_started"
    assert [record["seq"] for record in records] == sorted(record["seq"] for record in records)


async def test_requests_are_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await written(tmp_path, monkeypatch, "8", "X")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records[-1]["rid"] == "r60"
    assert records[-1]["cached_tokens"] == 284


@pytest.mark.parametrize(
    ("keys", "suffix", "line"),
    [
        (("2",), "csv", "1,60,4,584,210,private,coder,s0,"),
        (("2", "T"), "csv", "14,2,1,64,412,anchor,planner,,"),
        (("3", "enter"), "csv", "utc_s,span_s,requests,prompt_tokens,cached_tokens,answers,ttft_sum_s,hurt"),
        (("4", "D"), "csv", "not missed; kept not used"),
        (("6",), "jsonl", '"k":"engine_started"'),
        (("7", "enter"), "csv", "time,step,what,event"),
        (("9",), "csv", "planner,coder,9"),
    ],
)
async def test_every_screen_has_something_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], suffix: str, line: str
) -> None:
    path = await written(tmp_path, monkeypatch, *keys, "X")
    assert path.suffix == f".{suffix}"
    assert line in path.read_text()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("1",), "daemon: box-1; engine: ready"),
        (("2",), "prefix shared by coder, critic"),
        (("3",), "agent: critic; asked: 11"),
        (("3", "enter"), "critic is not worse off than usual\nasked      11 times"),
        (("4",), "on: [x]; policy: kv_caching"),
        (("5",), "search[web] gave its answer in s3 (stop)\n#562 answer_given"),
        (("6",), "This run is live"),
        (("7",), "lost: tester"),
        (("7", "enter"), "miss: tester's request r58 computed 240 tok again"),
        (("8",), "24 tok written"),
        (("9",), "predictability R 1.00"),
    ],
)
async def test_what_is_selected_is_copied(keys: tuple[str, ...], words: str) -> None:
    async with console(SMALL) as pilot:
        for key in (*keys, "y"):
            await pilot.press(key)
            await drawn(pilot)
        assert words in pilot.app.clipboard
        assert any(note.message.startswith("copied: ") for note in pilot.app._notifications)


async def test_where_nothing_is_selected_nothing_is_copied() -> None:
    async with console(SMALL) as pilot:
        await drawn(pilot)
        await pilot.press("0", "y")
        await drawn(pilot)
        assert pilot.app.clipboard == ""
        assert "nothing is selected" in toasts(pilot.app)


async def test_a_picture_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await written(tmp_path, monkeypatch, "2", "ctrl+s")
    assert path.suffix == ".svg"
    assert path.read_text().startswith("<svg")


async def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, private: bool) -> Path:
        raise PermissionError(13, "Permission denied", "here")

    monkeypatch.setattr("radixdeck.console.writing.write_new", refused)
    async with console(SMALL) as pilot:
        await pilot.press("3")
        await drawn(pilot)
        await pilot.press("X")
        await drawn(pilot)
        assert "not written" in toasts(pilot.app)


def test_no_file_is_replaced(tmp_path: Path) -> None:
    assert write_new(tmp_path, "a", "csv", "1").name == "a.csv"
    assert write_new(tmp_path, "a", "csv", "2").name == "a-2.csv"
    assert (tmp_path / "a.csv").read_text() == "1"


def test_a_name_that_looks_like_a_formula_is_tamed() -> None:
    text = as_csv(["agent", "n"], [["=cmd()", "-3"], ["a,b", "1,000"]])
    assert list(csv.reader(text.splitlines())) == [["agent", "n"], ["'=cmd()", "-3"], ["a,b", "1,000"]]
