"""One run of SGLang's server: a process group of its own, watched, and ended as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from .logs import hold

_TITLE = "sglang::"  # SGLang names its schedulers and detokenizers so
_POLL_S = 0.05
_GONE_S = 5.0


class EngineProcess:
    """The server's main process and the children without which it cannot serve."""

    def __init__(self, main: asyncio.subprocess.Process) -> None:
        self._main = main
        self._family: dict[int, tuple[psutil.Process, str]] = {}

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str], log: Path) -> EngineProcess:
        """Start `command` in a session of its own, writing to `log`. It dies with this process.

        Raises OSError if it cannot be started or the log cannot be written.
        """
        bound = [sys.executable, "-I", str(Path(__file__).with_name("bound.py")), str(os.getpid()), *command]
        with log.open("ab") as output:
            hold(output)
            main = await asyncio.create_subprocess_exec(
                *bound,
                env=dict(env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(main)

    @property
    def pid(self) -> int:
        return self._main.pid

    def lost(self) -> str:
        """Which of the processes died, in words; empty while all of them live. Costs some file reads per process."""
        code = self._main.returncode
        if code is not None:
            return f"the engine's main process {_ending(code)}"
        for process, name in self._family.values():
            # With the main process the others die too, and how it ended is known a moment later.
            if not _alive(process) and self._main_lives():
                return f"the engine's {name} (process {process.pid}) died"
        return ""

    def _main_lives(self) -> bool:
        """Its first thread takes the others' processes with it. While its last thread has not ended too, nobody is
        told that it has, but a zombie it is by then."""
        try:
            return _alive(psutil.Process(self.pid))
        except psutil.NoSuchProcess:
            return False
        except (psutil.Error, OSError):
            return True

    def learn_family(self) -> None:
        """Look for children that have come up since; those seen once are watched from then on."""
        with contextlib.suppress(psutil.Error, OSError):  # psutil passes on that we are out of file descriptors
            for child in psutil.Process(self.pid).children(recursive=True):
                if child.pid not in self._family:
                    with contextlib.suppress(psutil.Error):
                        self._meet(child)

    def _meet(self, child: psutil.Process) -> None:
        title = _title(child)
        # Between fork and exec, a helper that a scheduler runs for a moment still has the scheduler's title.
        if title.startswith(_TITLE) and title != _title(psutil.Process(child.ppid())):
            self._family[child.pid] = (child, title.removeprefix(_TITLE).split()[0])

    def listens(self, port: int) -> bool:
        """Whether one of its processes listens on `port`; true also where the system does not let us see."""
        try:
            main = psutil.Process(self.pid)
            return any(_listens(process, port) for process in (main, *main.children(recursive=True)))
        except psutil.NoSuchProcess:
            return False
        except (psutil.Error, OSError):
            return True

    async def end(self, grace_s: float) -> None:
        """Ask the main process to end, and after `grace_s` end the whole group. Returns when none of it is left."""
        self.learn_family()
        if self._main.returncode is None and grace_s > 0:
            with contextlib.suppress(ProcessLookupError):
                # SGLang looks for SIGTERM only every 5 s. send_signal might reap the process before asyncio does.
                os.kill(self.pid, signal.SIGINT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._main.wait(), grace_s)
        self.kill()
        await self._main.wait()
        for _ in range(int(_GONE_S / _POLL_S)):
            if not any(_alive(process) for process, _ in self._family.values()):
                break
            await asyncio.sleep(_POLL_S)

    def kill(self) -> None:
        """SIGKILL to every process of the group, and to children that left it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for process, _ in self._family.values():
            with contextlib.suppress(psutil.Error, OSError):
                process.kill()


def _title(process: psutil.Process) -> str:
    return (process.cmdline() or [""])[0]


def _listens(process: psutil.Process, port: int) -> bool:
    sockets = process.net_connections("tcp")
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)


def _alive(process: psutil.Process) -> bool:
    """Runs, or sleeps: neither gone nor a zombie. What cannot be told, out of file descriptors, is no death."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
    except OSError:
        return True


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
