"""Where engines write their logs: several daemons share a folder and leave each other's alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from radixdeck.daemon.engine.logs import KEPT, OLD_S, EngineLogs
from radixdeck.daemon.engine.process import EngineProcess


def named(folder: Path, stem: str, *, age_s: float = 0.0) -> Path:
    path = folder / f"{stem}.log"
    path.touch()
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def full(folder: Path, node: str) -> list[Path]:
    """As many logs of `node` as are kept, from the oldest to the newest."""
    return [named(folder, f"engine-{node}-20260101-0000{n:02}") for n in range(KEPT)]


def test_a_log_says_whose_it_is(tmp_path: Path) -> None:
    path = EngineLogs(tmp_path / "new", "gpu-1").begin()
    assert path.name.startswith("engine-gpu-1-2")
    assert path.read_bytes() == b""


def test_two_starts_in_one_second_have_two_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda _form: "20260101-000000")
    logs = EngineLogs(tmp_path, "a")
    names = [logs.begin().name for _ in range(3)]
    assert names == [f"engine-a-20260101-000000{more}.log" for more in ("", "_2", "_3")]
    assert sorted(names) == names


def test_a_node_deletes_its_own_oldest_and_nobody_elses(tmp_path: Path) -> None:
    own, others = full(tmp_path, "a"), [*full(tmp_path, "b"), *full(tmp_path, "a-b")]
    nobodys = named(tmp_path, "engine-20260101-000000")
    begun = EngineLogs(tmp_path, "a").begin()
    assert set(tmp_path.iterdir()) == {*own[1:], begun, *others, nobodys}


def test_what_others_left_goes_once_it_is_old(tmp_path: Path) -> None:
    named(tmp_path, "engine-20260101-000000", age_s=OLD_S + 60)
    named(tmp_path, "engine-gone-20260101-000000", age_s=OLD_S + 60)
    own = named(tmp_path, "engine-a-20260101-000000", age_s=OLD_S + 60)
    fresh = named(tmp_path, "engine-gone-20260101-000001", age_s=OLD_S - 60)
    daemons = named(tmp_path, "daemon", age_s=OLD_S + 60)
    begun = EngineLogs(tmp_path, "a").begin()
    assert set(tmp_path.iterdir()) == {own, fresh, daemons, begun}


async def test_a_log_that_an_engine_writes_to_stays(tmp_path: Path) -> None:
    oldest, *_ = full(tmp_path, "a")
    process = await EngineProcess.start(["sleep", "600"], os.environ, oldest)
    EngineLogs(tmp_path, "a").begin()
    assert oldest.exists()
    await process.end(grace_s=0)
    EngineLogs(tmp_path, "a").begin()
    assert not oldest.exists()
