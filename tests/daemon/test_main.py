"""`radixdeck serve` as a whole: what it says and returns when an error ends it."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import msgspec
import pytest
import structlog
from test_without_engine import config

from radixdeck.daemon.config import DaemonConfig
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.main import log_to_file, serve
from radixdeck.storage.recorder import Recorder

pytestmark = pytest.mark.usefixtures("daemon_log")


def test_an_error_of_a_running_daemon_is_not_said_to_be_of_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(_: Recorder) -> None:
        raise OSError(errno.EIO, "no more")

    monkeypatch.setattr(Recorder, "run", break_down)
    monkeypatch.setattr("radixdeck.daemon.engine.args.native_dtype", lambda: "float32")
    said: list[str] = []
    assert serve(config(tmp_path), said.append) == 1
    assert said[0].startswith("front ")
    assert any(line.startswith("hint ") and "--dtype float32" in line for line in said), "a model of its owner's own"
    assert said[-1] == f"ended by an error: [Errno {errno.EIO}] no more"


def test_a_daemon_that_cannot_start_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        port, spec = other.getsockname()[1], EngineSpec(model="none", device="cpu")
        told = DaemonConfig(node="late", port=port, broker="amqtt", home=str(tmp_path), engine=spec)
        assert serve(told, said.append) == 2
    assert [line.partition(":")[0] for line in said] == ["cannot start"]


def test_a_log_that_grows_for_weeks_is_cut_and_is_its_own_daemons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.daemon.main.MAX_LOG_BYTES", most := 2_000)
    said = structlog.get_logger()
    for node in ("one", "two"):
        log_to_file(msgspec.structs.replace(config(tmp_path), node=node))
        for number in range(100):
            said.warning("again", number=number)
    logs = {path.name: path.read_bytes() for path in (tmp_path / "logs").iterdir()}
    assert set(logs) == {f"daemon-{node}.log{older}" for node in ("one", "two") for older in ("", ".1")}
    assert all(0 < len(text) <= most for text in logs.values())
    for node in ("one", "two"):
        lines = (logs[f"daemon-{node}.log.1"] + logs[f"daemon-{node}.log"]).splitlines()
        numbers = [msgspec.json.decode(line)["number"] for line in lines]
        assert numbers == list(range(numbers[0], 100)), "the newest are there, none is missing between"
