"""The parts of the supervisor that need no engine: back-off, log reading, processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from processes import alive

from radixdeck.daemon.engine import backoff
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.backoff import Retry
from radixdeck.daemon.engine.launch import Engine, EngineStatus
from radixdeck.daemon.engine.process import EngineProcess
from radixdeck.daemon.engine.progress import FIRST_PHASE, LogReader
from radixdeck.daemon.engine.protocol import EngineSetup

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable, "-c",
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)",
]  # fmt: skip
FORKING = [
    sys.executable, "-c",
    "import subprocess, sys, time\n"
    "subprocess.run([sys.executable, '-c',\n"
    "    'import os, setproctitle, time\\n'\n"
    "    'setproctitle.setproctitle(\"sglang::scheduler\")\\n'\n"
    "    'if forked := os.fork(): print(os.getpid(), forked, flush=True)\\n'\n"
    "    'time.sleep(600)'])\n"
    "time.sleep(600)",
]  # fmt: skip
"""A scheduler, and a fork of it that has not become another program yet."""


def test_waits_double_up_to_a_minute() -> None:
    retry = Retry()
    waits = [retry.next_wait_s() for _ in range(9)]
    for at, wait in enumerate(waits):
        assert wait == pytest.approx(min(backoff.LAST_S, backoff.FIRST_S * 2**at), rel=0.2)


def test_an_engine_that_fails_for_days_is_still_tried() -> None:
    retry = Retry()
    for number in range(3_000):
        retry.start_failed("no such model" if number % 7 else "port 1 is taken")
        assert retry.next_wait_s() <= 1.2 * backoff.LAST_S


def test_a_healthy_minute_forgets_the_losses() -> None:
    retry = Retry()
    for _ in range(6):
        retry.next_wait_s()
    retry.served(backoff.HEALTHY_S - 1)
    assert retry.next_wait_s() > 40
    retry.served(backoff.HEALTHY_S)
    assert retry.next_wait_s() < 2


def test_five_times_the_same_reason_is_a_failure() -> None:
    retry = Retry()
    assert [retry.start_failed(f"port {n} is taken") for n in range(5)] == [False, False, False, False, True]
    assert retry.next_wait_s() == backoff.LAST_S
    assert not retry.start_failed("something else")
    assert retry.start_failed("no such model", lasting=True)


def test_the_log_says_what_is_going_on(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text("")
    with LogReader(path) as log, path.open("a") as file:
        log.read()
        assert log.phase == FIRST_PHASE
        file.write("[2026-01-01 00:00:00] Load weight begin. avail mem=21 GB\nhalf a li")
        file.flush()
        log.read()
        assert log.phase == "loading weights"
        file.write("ne\n[x] KV Cache is allocated. dtype: bf16, #tokens: 6000, K size\n")
        file.flush()
        log.read()
        assert log.phase == "allocating the KV cache: 6,000 tokens"
        assert log.problem().startswith("KV Cache")
        assert log.error() == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ""),
        ("noise\n", "noise"),
        ("Traceback\n  File x\nValueError: bad context\nnoise\n", "ValueError: bad context"),
        ("[2026-01-01 00:00:00] a.b.OSError: gone\n", "a.b.OSError: gone"),
        ("/x/python: No module named sglang\n", "SGLang is not installed in this Python"),
        (
            "launch_server.py: error: unrecognized arguments: --nope\n",
            "launch_server.py: error: unrecognized arguments: --nope",
        ),
        (
            "[x] ERROR:    [Errno 98] bind on ('127.0.0.1', 80): in use\n[x] INFO:     ended\n",
            "ERROR:    [Errno 98] bind on ('127.0.0.1', 80): in use",
        ),
        ("\xff\x00 binary \n" * 3, "\ufffd\x00 binary"),
    ],
)
def test_the_problem_is_the_last_error(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(text.encode("latin-1"))
    with LogReader(path) as log:
        log.read()
        assert log.problem() == problem


def test_a_log_that_grew_too_large_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text("x" * 100 + "\n")
    with LogReader(path) as log:
        log.read()
        log.cut(50)
        assert path.stat().st_size == 0
        with path.open("a") as file:
            file.write("KeyError: later\n")
        log.read()
        assert log.problem() == "KeyError: later"


def test_a_log_that_somebody_removed_is_followed_and_cut_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.touch()
    with LogReader(path) as log, path.open("a") as engines:
        path.unlink()
        engines.write("KeyError: unseen\n" + "x" * 100 + "\n")
        engines.flush()
        log.read()
        assert log.error() == "KeyError: unseen"
        log.cut(50)
        assert os.fstat(engines.fileno()).st_size == 0


async def test_an_engine_stopped_before_it_ran_does_not_start(tmp_path: Path) -> None:
    told: list[EngineStatus] = []
    engine = Engine(EngineSpec(device="cpu"), EngineSetup(), "", tmp_path, tmp_path, told.append)
    await engine.stop()
    async with asyncio.timeout(5):
        await engine.run()
    assert {status.state for status in told} <= {"stopped"}
    assert engine.url is None


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1500):
        if holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not come to that in 30 s")


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = await EngineProcess.start(["/nowhere/python"], os.environ, log)
    await until(lambda: bool(process.lost()))
    await process.end(grace_s=10)
    assert process.lost() == "the engine's main process ended with status 1"
    assert log.read_text() == "/nowhere/python: No such file or directory\n"


async def test_a_killed_process_is_told_with_its_signal(tmp_path: Path) -> None:
    process = await EngineProcess.start(SLEEPER, os.environ, tmp_path / "log")
    assert process.lost() == ""
    os.kill(process.pid, signal.SIGKILL)
    await process.end(grace_s=10)
    assert process.lost() == "the engine's main process was killed by SIGKILL"


async def test_what_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = await EngineProcess.start(STUBBORN, os.environ, log)
    await until(lambda: log.read_text().endswith("\n"))
    child = psutil.Process(int(log.read_text()))
    assert os.getpgid(child.pid) == process.pid != os.getpgid(0)
    await process.end(grace_s=0.1)
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_of_a_main_process_that_took_the_others_with_it_its_own_end_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = await EngineProcess.start(FORKING, os.environ, log)
    await until(lambda: log.read_text().endswith("\n"))
    process.learn_family()
    scheduler = psutil.Process(int(log.read_text().split()[0]))
    os.kill(process.pid, signal.SIGKILL)
    scheduler.kill()
    # Both are dead, and this loop has not had a turn in which to hear how the main process ended.
    while alive(scheduler):
        time.sleep(0.01)  # noqa: ASYNC251 - just so that it has none
    assert process.lost() == ""
    await until(lambda: bool(process.lost()))
    assert process.lost() == "the engine's main process was killed by SIGKILL"
    await process.end(grace_s=0)


async def test_a_helper_that_a_scheduler_just_forked_is_none_of_the_family(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = await EngineProcess.start(FORKING, os.environ, log)
    await until(lambda: log.read_text().endswith("\n"))
    scheduler, forked = map(int, log.read_text().split())
    process.learn_family()
    os.kill(forked, signal.SIGKILL)
    await until(lambda: psutil.Process(forked).status() == psutil.STATUS_ZOMBIE)
    assert process.lost() == ""
    os.kill(scheduler, signal.SIGKILL)
    await until(lambda: bool(process.lost()))
    assert process.lost() == f"the engine's scheduler (process {scheduler}) died"
    await process.end(grace_s=0)
