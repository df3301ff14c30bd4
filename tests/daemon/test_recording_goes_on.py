"""A daemon that runs for days records all of them, a file at a time, and says which one it is in."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import msgspec
import pytest
from brokers import open_raw, until

from radixdeck.daemon.config import LEAST_RECORDING_BYTES, DaemonConfig
from radixdeck.daemon.discovery import find
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.recording import make_room
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.daemon.wire import ROOT, Status
from radixdeck.policies.events import PrefixMatched
from radixdeck.storage.session import open_session

TAIL = bytes(1 << 20)


async def fill(daemon: Daemon) -> None:
    """More events than one file takes, each on the disk before the next."""
    for number in range(LEAST_RECORDING_BYTES // len(TAIL)):
        daemon.journal.append(
            PrefixMatched(
                t_ns=time.time_ns(), rid=f"r{number}", agent="a", session="s", prompt_tokens=len(TAIL) // 4,
                cached_tokens=0, node=0, tail=TAIL,
            )
        )  # fmt: skip
        await daemon.recorder.flush()


async def test_a_full_recording_goes_on_in_another_file_and_the_oldest_goes(tmp_path: Path) -> None:
    spec = EngineSpec(model=str(tmp_path / "no-model"), device="cpu")
    told = DaemonConfig(
        node="long", port=0, broker="amqtt", home=str(tmp_path), engine=spec, keep_bytes=0,
        max_recording_bytes=LEAST_RECORDING_BYTES,
    )  # fmt: skip
    async with open_daemon(told) as daemon:
        first = daemon.recording
        await until(lambda: daemon.mqtt.connected, "the broker is there")
        await fill(daemon)
        assert daemon.recorder.failed == ""
        second = daemon.recording
        assert second != first
        assert find(daemon.paths.state, "long").recording == str(second)
        async with asyncio.timeout(10), open_raw(daemon.broker, f"{ROOT}/long/status") as raw:
            while msgspec.json.decode((await raw.next()).payload, type=Status).recording != str(second):
                pass
        await until(lambda: not first.exists(), "the first file is deleted")
        at_the_end, seq = daemon.state, daemon.journal.seq
    with open_session(second) as session:
        assert session.last_seq == seq
        assert session.first_seq > 1
        assert session.state_after(seq) == at_the_end


async def test_old_recordings_that_cannot_be_deleted_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: Path, _keep_bytes: int) -> list[Path]:
        raise PermissionError("not yours")

    monkeypatch.setattr("radixdeck.daemon.recording.prune", refuse)
    await make_room(tmp_path, 0)


async def test_a_daemon_that_starts_makes_room_beside_its_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, int, bool]] = []

    def make(folder: Path, keep_bytes: int) -> list[Path]:
        asked.append((folder, keep_bytes, threading.current_thread() is threading.main_thread()))
        return []

    monkeypatch.setattr("radixdeck.daemon.recording.prune", make)
    spec = EngineSpec(model=str(tmp_path / "no-model"), device="cpu")
    told = DaemonConfig(node="long", port=0, broker="amqtt", home=str(tmp_path), engine=spec, keep_bytes=7)
    async with open_daemon(told) as daemon:
        assert asked == [(daemon.paths.runs, 7, False)]


async def test_a_recording_that_stands_still_is_said_in_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = EngineSpec(model=str(tmp_path / "no-model"), device="cpu")
    told = DaemonConfig(node="long", port=0, broker="amqtt", home=str(tmp_path), engine=spec)
    async with (
        open_daemon(told) as daemon,
        asyncio.timeout(20),
        open_raw(daemon.broker, f"{ROOT}/long/status") as raw,
    ):
        monkeypatch.setattr(daemon.recorder, "_flush", lambda: None)
        said: list[str] = []
        for why in ("the disk is full", ""):
            daemon.recorder.failed = why
            while not said or ("the disk is full" in said[-1]) != bool(why):
                said.append(msgspec.json.decode((await raw.next()).payload, type=Status).detail)
        assert any("no-model; the disk is full" in detail for detail in said)
