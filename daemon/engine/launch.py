"""Supervises SGLang's server: starts it, says what it is doing, notices a dead process, restarts it with back-off."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from . import args
from .args import EngineSpec
from .backoff import Retry
from .logs import EngineLogs
from .port import free_port, healthy, taken
from .process import EngineProcess
from .progress import LogReader
from .protocol import EngineSetup

State = Literal["starting", "ready", "restarting", "failed", "stopped"]
POLL_S = 0.5
GRACE_S = 5.0
MAX_LOG_BYTES = 64 << 20


class EngineNotReady(RuntimeError):
    """The engine failed, was stopped or is not up in time. The message says what it last said."""


class _StartFailed(RuntimeError):
    """This start came to nothing. `lasting`: trying again soon cannot help."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting


class EngineStatus(NamedTuple):
    """`detail`: in words. `restarts`: starts after the first. `since_ns`: UTC, of this state."""

    state: State
    detail: str = ""
    pid: int | None = None
    restarts: int = 0
    retry_in_s: float = 0.0
    since_ns: int = 0


class Engine:
    """`run` keeps one engine going until it is cancelled or `stop` is called, which is final.

    `setup` may be replaced while it runs and counts from the next start. `node` is in the names of its logs.
    """

    def __init__(
        self,
        spec: EngineSpec,
        setup: EngineSetup,
        link: str,
        log_dir: Path,
        model_dir: Path,
        on_change: Callable[[EngineStatus], None] = lambda _status: None,
        node: str = "local",
    ) -> None:
        self.spec, self.setup = spec, setup
        self.status = EngineStatus("stopped", since_ns=time.time_ns())
        self._link, self._model_dir, self._on_change = link, model_dir, on_change
        self._logs = EngineLogs(log_dir, node)
        self._starts = 0
        self._url: str | None = None
        self._retry = Retry()
        self._ended = asyncio.Event()
        self._ended.set()
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def url(self) -> str | None:
        """Base URL of SGLang's server; None unless it is ready."""
        return self._url if self.status.state == "ready" else None

    async def run(self) -> None:
        """Start the engine and restart it whenever it is lost. Raises RuntimeError if it runs already."""
        if not self._ended.is_set():
            raise RuntimeError("this engine is supervised already")
        self._ended.clear()
        try:
            while not self._stopping.is_set():
                await self._live_once()
        finally:
            self._ended.set()
            self._say("stopped", "")

    async def stop(self) -> None:
        """End the engine and the supervision of it, for good. Returns when no process of it is left."""
        self._stopping.set()
        await self._ended.wait()

    async def wait_ready(self, timeout_s: float = 300.0) -> str:
        """URL of the server as soon as it is ready. Raises EngineNotReady if it fails or takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                while (url := self.url) is None:
                    if self.status.state == "failed":
                        raise EngineNotReady(self.status.detail)
                    self._changed.clear()
                    await self._changed.wait()
                return url
        except TimeoutError:
            raise EngineNotReady(f"not ready after {timeout_s:g} s: {self.status.detail}") from None

    async def _live_once(self) -> None:
        """One life of the engine: start, serve, die, and the wait before the next."""
        self._say("starting", "preparing")
        self._starts += 1
        try:
            why = await self._serve()
        except (_StartFailed, OSError) as error:
            failed = self._retry.start_failed(str(error), lasting=getattr(error, "lasting", False))
            await self._pause("failed" if failed else "restarting", str(error))
        else:
            if not self._stopping.is_set():
                await self._pause("restarting", why)

    async def _serve(self) -> str:
        """Start and watch a process until it is lost or not wanted any more. Returns why it is gone."""
        model = await self._model_path()
        host, port = args.address(self.spec, self.spec.port or free_port())
        if await taken(host, port):
            raise _StartFailed(f"port {port} is in use by another process; end that one, or give SGLang another port")
        with LogReader(self._logs.begin()) as log:
            return await self._serve_at(host, port, args.command(self.spec, model, port), log)

    async def _serve_at(self, host: str, port: int, command: list[str], log: LogReader) -> str:
        process = await EngineProcess.start(command, args.environment(self.spec, self.setup, self._link), log.path)
        grace_s, why = 0.0, ""
        try:
            await self._until_ready(process, log, host, port)
            ready_at = time.monotonic()
            while not (why := process.lost()) and not self._stopping.is_set():
                await self._tick(log)
                self._retry.served(time.monotonic() - ready_at)
            if why:
                why = _with_error(why, log)
            else:
                grace_s = GRACE_S
            return why
        except asyncio.CancelledError:
            grace_s = GRACE_S
            raise
        finally:
            self._url = None
            if self.status.state == "ready":
                self._say("stopped" if self._stopping.is_set() else "restarting", why or "ending the engine")
            await asyncio.shield(process.end(grace_s))

    async def _until_ready(self, process: EngineProcess, log: LogReader, host: str, port: int) -> None:
        """Follow the start. Raises _StartFailed with the last error of the log if a process dies before it serves."""
        began = time.monotonic()
        while not self._stopping.is_set():
            process.learn_family()
            if why := process.lost():
                _read(log)
                raise _StartFailed(f"{why}: {log.problem() or 'its log is empty'} (log: {log.path})")
            answered = await healthy(host, port)
            if answered and process.listens(port):
                process.learn_family()
                self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
                self._say("ready", f"ready in {time.monotonic() - began:.0f} s", process.pid)
                return
            strange = f"{log.phase}; what answers on port {port} meanwhile is another process"
            self._say("starting", strange if answered else log.phase, process.pid)
            await self._tick(log)

    async def _tick(self, log: LogReader) -> None:
        _read(log)
        await self._sleep(POLL_S)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but wake up at once to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _pause(self, state: State, why: str) -> None:
        """Wait before the next start."""
        wait_s = self._retry.next_wait_s()
        self._say(state, why, retry_in_s=wait_s)
        until = time.monotonic() + wait_s
        while not self._stopping.is_set() and (left_s := until - time.monotonic()) > 0:
            await self._sleep(min(left_s, POLL_S))

    async def _model_path(self) -> str:
        """The model to serve; the one made on the spot is made if it is not there yet. Raises _StartFailed."""
        if self.spec.model:
            return _named_model(self.spec.model)
        self._say("starting", f"making the {self.spec.size} model")
        maker = await asyncio.create_subprocess_exec(
            self.spec.interpreter, "-m", "radixdeck.daemon.engine.model",
            "--out", str(self._model_dir), "--size", self.spec.size,
            "--dtype", args.dtype_of(self.spec),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        made, problem = await maker.communicate()
        if maker.returncode != 0:
            lines = problem.decode("utf-8", "replace").strip().splitlines()
            raise _StartFailed(f"the model could not be made: {lines[-1] if lines else 'no reason given'}")
        return made.decode().strip()

    def _say(self, state: State, detail: str, pid: int | None = None, retry_in_s: float = 0.0) -> None:
        before = self.status
        since_ns = before.since_ns if before.state == state else time.time_ns()
        self.status = EngineStatus(state, detail, pid, max(0, self._starts - 1), retry_in_s, since_ns)
        if self.status != before:
            self._changed.set()
            self._on_change(self.status)


def _named_model(told: str) -> str:
    """An absolute path, or a model id as it is. Raises _StartFailed for a path that is not there."""
    path = Path(told).expanduser()
    if path.exists():
        return str(path.resolve())
    if told.startswith(("/", ".", "~")):
        raise _StartFailed(f"there is no model at {path}", lasting=True)
    return told


def _read(log: LogReader) -> None:
    with contextlib.suppress(OSError):  # a log that cannot be read is no reason to end the engine
        log.read()
        log.cut(MAX_LOG_BYTES)


def _with_error(why: str, log: LogReader) -> str:
    """`why`, and the last error in the log. Other lines of an engine that served may quote what it was asked."""
    _read(log)
    error = log.error()
    return f"{why}{'; last error in its log: ' + error if error else ''} (log: {log.path})"
