"""The files by which a console finds the daemons of its machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from radixdeck.daemon.discovery import DiscoveryError, announce, find, running, withdraw
from radixdeck.daemon.wire import BrokerAddress, Discovery
from radixdeck.storage.process_start import start_of


def here(node: str = "n1", pid: int | None = None) -> Discovery:
    broker = BrokerAddress(host="127.0.0.1", port=1883, password="secret")
    pid = pid or os.getpid()
    return Discovery(
        node=node, pid=pid, broker=broker, endpoint="http://x", recording="/r.db", start=start_of(pid)
    )  # fmt: skip


def test_what_is_announced_is_found_and_private(tmp_path: Path) -> None:
    path = announce(tmp_path, here())
    assert find(tmp_path) == find(tmp_path, "n1") == here()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["n1.json"]


def test_a_dead_daemon_is_forgotten(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = announce(tmp_path, here(pid=ended.pid))
    assert running(tmp_path) == []
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the time of its start decides")
def test_a_later_process_with_the_same_pid_is_not_the_daemon(tmp_path: Path) -> None:
    path = announce(tmp_path, here())
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(here(), start="another boot/1")))
    assert running(tmp_path) == []
    assert not path.exists()


def test_a_file_of_an_earlier_version_is_judged_by_its_age(tmp_path: Path) -> None:
    path = announce(tmp_path, here())
    told = msgspec.json.decode(path.read_bytes())
    del told["start"]
    path.write_bytes(msgspec.json.encode(told))
    assert [one.pid for one in running(tmp_path)] == [os.getpid()]
    os.utime(path, (1, 1))
    assert running(tmp_path) == []


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_step_of_the_wall_clock_ends_no_daemon(
    tmp_path: Path, clock_step: Callable[[float], None], seconds: float
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        announce(tmp_path, here(pid=other.pid))
        clock_step(seconds)
        assert [one.pid for one in running(tmp_path)] == [other.pid]
        with pytest.raises(DiscoveryError, match="runs already"):
            announce(tmp_path, here())
        other.kill()


def test_a_name_in_use_is_not_given_twice(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        announce(tmp_path, here(pid=other.pid))
        with pytest.raises(DiscoveryError, match=f"'n1' runs already \\(pid {other.pid}\\)"):
            announce(tmp_path, here())
        withdraw(tmp_path, "n1", os.getpid())
        assert len(running(tmp_path)) == 1, "the other one's file must stay"
        other.kill()
    other.wait()
    announce(tmp_path, here())
    withdraw(tmp_path, "n1", os.getpid())
    assert running(tmp_path) == []


def test_choosing_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="no daemon runs here"):
        find(tmp_path)
    announce(tmp_path, here("a"))
    announce(tmp_path, here("b"))
    with pytest.raises(DiscoveryError, match="a, b; choose one"):
        find(tmp_path)
    with pytest.raises(DiscoveryError, match="no daemon named 'c' runs here; running: a, b"):
        find(tmp_path, "c")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"node":"x","pid":"one"}'])
def test_a_garbage_file_is_skipped(content: bytes, tmp_path: Path) -> None:
    announce(tmp_path, here())
    (tmp_path / "daemons" / "bad.json").write_bytes(content)
    (tmp_path / "daemons" / "folder.json").mkdir()
    assert running(tmp_path) == [here()]


@pytest.mark.parametrize("pid", [-1, 0, 2**40])
def test_an_impossible_pid_is_dead(pid: int, tmp_path: Path) -> None:
    path = announce(tmp_path, here())
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(here(), pid=pid)))
    assert here(pid=pid) not in running(tmp_path)


def test_a_name_that_is_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="node name"):
        announce(tmp_path, here("../../etc/n1"))
