"""The files by which a console finds the daemons of its machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from radixdeck.daemon.discovery import DiscoveryError, announce, find, running, withdraw
from radixdeck.daemon.wire import BrokerAddress, Discovery


def here(node: str = "n1", pid: int | None = None) -> Discovery:
    broker = BrokerAddress(host="127.0.0.1", port=1883, password="secret")
    return Discovery(node=node, pid=pid or os.getpid(), broker=broker, endpoint="http://x", recording="/r.db")


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


def test_a_later_process_with_the_same_pid_is_not_the_daemon(tmp_path: Path) -> None:
    path = announce(tmp_path, here())
    os.utime(path, (1, 1))
    assert running(tmp_path) == []


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
