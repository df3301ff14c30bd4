"""What befalls an engine from outside, shown on stand-ins for SGLang's server: no file descriptors left, a stranger on
its port, an error that it dies of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest
from background import beside
from brokers import until
from news import News
from processes import gone

from radixdeck.daemon.engine import backoff
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.launch import Engine, EngineStatus
from radixdeck.daemon.engine.port import free_port
from radixdeck.daemon.engine.process import EngineProcess
from radixdeck.daemon.engine.protocol import EngineSetup

TIMEOUT_S = 30.0
WITH_SCHEDULER = """
import os, setproctitle, time
if os.fork() == 0:
    setproctitle.setproctitle("sglang::scheduler")
    print("up", flush=True)
time.sleep(600)
"""
ENDING = """
import ctypes, os, setproctitle, signal, threading, time
libc, exit_thread = ctypes.CDLL(None), {"x86_64": 60, "aarch64": 93}[os.uname().machine]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
if os.fork() == 0:
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: dies with the thread that forked it
    setproctitle.setproctitle("sglang::scheduler")
    print("up", flush=True)
    time.sleep(600)
threading.Thread(target=time.sleep, args=(600,)).start()
signal.sigwait([signal.SIGUSR1])
libc.syscall(exit_thread, 0)
"""
SERVING = """
import http.server, os, pathlib, sys, threading, time
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
def fail():
    while not pathlib.Path("FAIL").exists():
        time.sleep(0.02)
    pathlib.Path("FAIL").unlink()
    print("RuntimeError: the GPU fell off the bus", flush=True)
    print("what somebody asked", flush=True)
    os._exit(3)
threading.Thread(target=fail, daemon=True).start()
at = ("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))
http.server.ThreadingHTTPServer(at, Healthy).serve_forever()
"""
NEVER_SERVING = """
import pathlib, time
while not pathlib.Path("FAIL").exists():
    time.sleep(0.02)
print("[x] ERROR:    [Errno 98] address already in use", flush=True)
raise SystemExit(1)
"""


class StandIn:
    """A program in SGLang's place, under supervision. `told`: every status; `fail`: what ends the program, once."""

    def __init__(self, folder: Path, program: str, port: int) -> None:
        self.told: list[EngineStatus] = []
        self._news = News()
        self._fail = folder / "fail"
        python = folder / "python"
        python.write_text(f"#!{sys.executable} -S\n{program.replace('FAIL', str(self._fail))}")
        python.chmod(0o700)
        spec = EngineSpec(model=str(folder), python=str(python), device="cpu", port=port)
        self.engine = Engine(spec, EngineSetup(), "", folder, folder, self._note)

    def _note(self, status: EngineStatus) -> None:
        self.told.append(status)
        self._news.come()

    def fail(self) -> None:
        self._fail.touch()

    async def says(self, words: str) -> EngineStatus:
        await self._news.until(lambda: words in self.told[-1].detail if self.told else False, TIMEOUT_S)
        return self.told[-1]


@asynccontextmanager
async def stranger(port: int) -> AsyncGenerator[None]:
    """Somebody else's healthy server."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield


@contextmanager
def no_descriptors_left() -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def family(tmp_path: Path) -> AsyncGenerator[EngineProcess]:
    """A main process and a scheduler, which is known."""
    log = tmp_path / "log"
    process = await EngineProcess.start([sys.executable, "-c", WITH_SCHEDULER], os.environ, log)
    await until(lambda: bool(log.read_text()), "the scheduler is up")
    process.learn_family()
    yield process
    await process.end(0)


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="ends a thread by its system call")
async def test_a_main_process_that_is_about_to_have_ended_is_not_told_as_one_of_its_children(tmp_path: Path) -> None:
    """Its first thread is gone, and the scheduler with it; its last one is not."""
    log = tmp_path / "log"
    process = await EngineProcess.start([sys.executable, "-c", ENDING], os.environ, log)
    try:
        await until(lambda: bool(log.read_text()), "the scheduler is up")
        process.learn_family()
        children = psutil.Process(process.pid).children()
        assert len(children) == 1
        os.kill(process.pid, signal.SIGUSR1)
        await gone(children)
        assert process.lost() == ""
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: bool(process.lost()), "the main process ends")
        assert process.lost() == "the engine's main process was killed by SIGKILL"
    finally:
        await process.end(0)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
async def test_who_is_out_of_descriptors_takes_nobody_for_dead(family: EngineProcess) -> None:
    with no_descriptors_left():
        assert family.lost() == ""
        family.learn_family()
    (scheduler,) = psutil.Process(family.pid).children()
    scheduler.kill()
    await gone([scheduler])
    assert "scheduler" in family.lost()


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
async def test_who_is_out_of_descriptors_ends_the_engine_all_the_same(family: EngineProcess) -> None:
    processes = [main := psutil.Process(family.pid), *main.children()]
    assert len(processes) == 2
    with no_descriptors_left():
        ending = asyncio.create_task(family.end(0))
        await until(lambda: bool(family.lost()), "the main process ends")
    await ending
    await gone(processes)


async def test_a_port_that_is_taken_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.1)
    port = free_port()
    stand_in = StandIn(tmp_path, SERVING, port)
    async with AsyncExitStack() as other:
        await other.enter_async_context(stranger(port))
        async with beside(stand_in.engine.run()):
            said = await stand_in.says(f"port {port} is in use by another process")
            assert said.retry_in_s > 0
            assert {status.pid for status in stand_in.told} == {None}
            await other.aclose()
            assert await stand_in.engine.wait_ready(TIMEOUT_S) == f"http://127.0.0.1:{port}"


async def test_a_strangers_health_is_not_the_engines(tmp_path: Path) -> None:
    port = free_port()
    stand_in = StandIn(tmp_path, NEVER_SERVING, port)
    async with beside(stand_in.engine.run()):
        await stand_in.says("importing SGLang")
        async with stranger(port):
            said = await stand_in.says(f"what answers on port {port} meanwhile is another process")
            assert said.state == "starting"
            stand_in.fail()
            await stand_in.says("address already in use")
    assert "ready" not in {status.state for status in stand_in.told}


async def test_an_engine_that_dies_after_it_served_says_of_what(tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path, SERVING, 0)
    async with beside(stand_in.engine.run()):
        await stand_in.engine.wait_ready(TIMEOUT_S)
        stand_in.fail()
        lost = await stand_in.says("ended with status 3")
    assert lost.state == "restarting"
    assert "last error in its log: RuntimeError: the GPU fell off the bus (log: " in lost.detail
    assert "what somebody asked" not in lost.detail
