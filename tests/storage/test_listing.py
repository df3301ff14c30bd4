"""Folders of recordings: everything is shown, nothing that is needed is deleted."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from storage_samples import folded, info, recorded, stream

from radixdeck.storage.files import run_path, size_bytes
from radixdeck.storage.listing import list_runs, prune
from radixdeck.storage.recorder import Recorder

START = info().started_ns


async def three_runs(folder: Path) -> list[Path]:
    paths = [run_path(folder, "box", START + n * 10**9) for n in range(3)]
    for path in paths:
        await recorded(path, stream(20))
    return paths


async def test_run_in_numbers(tmp_path: Path) -> None:
    events = stream(50)
    await recorded(tmp_path / "a.db", events, keyframe_every=50)
    totals = folded(events).totals
    (run,) = list_runs(tmp_path)
    assert (run.path, run.info, run.error, run.live) == (tmp_path / "a.db", info(), "", False)
    assert (run.events, run.requests) == (len(events), totals.requests)
    assert run.hit_rate == pytest.approx(totals.cached_tokens / totals.prompt_tokens)
    assert run.duration_s == pytest.approx((max(e.t_ns for e in events) - START) / 1e9)
    assert run.size_bytes == (tmp_path / "a.db").stat().st_size


async def test_newest_first_and_bad_ones_are_shown(tmp_path: Path) -> None:
    paths = await three_runs(tmp_path)
    (tmp_path / "0-broken.db").write_text("nothing")
    (tmp_path / "notes.txt").write_text("not listed")
    runs = list_runs(tmp_path)
    assert [run.path for run in runs] == [*reversed(paths), tmp_path / "0-broken.db"]
    assert "0-broken.db: not a SQLite file" in runs[-1].error


async def test_one_that_cannot_be_looked_at_is_shown_and_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, *others = await three_runs(tmp_path)
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == oldest:
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return real(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
    assert list_runs(tmp_path)[-1].error == f"{oldest}: Stale file handle"
    assert prune(tmp_path, 0) == others


def test_folder_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == []


async def test_live_until_closed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    assert list_runs(tmp_path)[0].live
    await recorder.close()
    assert not list_runs(tmp_path)[0].live


KILLED = """
import os, sys
from pathlib import Path
from storage_samples import Recorder, info

Recorder(Path(sys.argv[1]), info())
os._exit(9)
"""


def test_not_live_when_its_writer_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a.db")]
    assert subprocess.run(command, cwd=Path(__file__).parent, check=False).returncode == 9
    (run,) = list_runs(tmp_path)
    assert (run.error, run.live, run.events) == ("", False, 0)
    assert prune(tmp_path, 0) == [tmp_path / "a.db"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_live_also_after_a_step_of_the_wall_clock(
    tmp_path: Path, clock_step: Callable[[float], None], seconds: float
) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    clock_step(seconds)
    assert list_runs(tmp_path)[0].live
    assert prune(tmp_path, 0) == []
    await recorder.close()


def change_run(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the time of its start decides")
async def test_not_live_where_another_process_has_the_writers_number(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    change_run(recorder.path, "UPDATE runs SET pid_start = 'another boot/1'")
    assert not list_runs(tmp_path)[0].live
    await recorder.close()


@pytest.mark.parametrize(("off_s", "live"), [(0, True), (100, False)])
async def test_one_of_an_earlier_version_is_live_by_the_time_its_writer_began(
    tmp_path: Path, off_s: float, live: bool
) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    change_run(recorder.path, "ALTER TABLE runs DROP COLUMN pid_start")
    change_run(recorder.path, f"UPDATE runs SET pid_started_s = pid_started_s + {off_s}")
    assert list_runs(tmp_path)[0].live == live
    await recorder.close()


async def test_prune_takes_the_oldest_and_spares_what_it_must(tmp_path: Path) -> None:
    oldest, middle, newest = await three_runs(tmp_path)
    foreign = tmp_path / "0-songs.db"
    sqlite3.connect(foreign).execute("CREATE TABLE songs (name TEXT)").connection.close()
    live = Recorder(run_path(tmp_path, "box", START - 10**9), info())
    keep = size_bytes(newest) + size_bytes(live.path) + 100
    assert prune(tmp_path, keep) == [oldest, middle]
    assert prune(tmp_path, keep) == []
    assert prune(tmp_path, 0) == [newest]
    assert {run.path for run in list_runs(tmp_path)} == {foreign, live.path}
    await live.close()
