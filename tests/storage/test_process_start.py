"""A process is told from a later one with its number by when it began."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from radixdeck.storage.process_start import start_of, still_runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the time of its start decides")

RENAMED = """
with open("/proc/self/comm", "w") as name:
    name.write("a) b (c) 1")
print(flush=True)
input()
"""


def test_two_processes_began_at_different_ticks_and_one_always_at_the_same() -> None:
    mine = start_of(os.getpid())
    assert mine.rpartition("/")[2].isdigit()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert start_of(child.pid) not in ("", mine)
        assert start_of(os.getpid()) == mine
        child.kill()
    assert start_of(child.pid) == ""


def test_a_name_with_brackets_does_not_matter() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", RENAMED], **pipes) as child:
        before = start_of(child.pid)
        assert child.stdout
        child.stdout.readline()
        assert start_of(child.pid) == before != ""
        child.kill()


@pytest.mark.parametrize("pid", [-1, 0, 2**40])
def test_an_impossible_number_is_nobodys(pid: int) -> None:
    assert start_of(pid) == ""
    assert not still_runs(pid, "", lambda _: True)
    assert not still_runs(pid, "boot/1", lambda _: True)


def test_the_clock_decides_only_where_the_start_is_not_known() -> None:
    mine = os.getpid()
    assert still_runs(mine, start_of(mine), lambda _: False)
    assert not still_runs(mine, "another boot/1", lambda _: True)
    assert still_runs(mine, "", lambda _: True)
    assert not still_runs(mine, "", lambda _: False)
