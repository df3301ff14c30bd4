"""Mosquitto as a child process: on loopback, with credentials made for this run, restarted on the same port if it dies
and gone when the daemon is.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import hashlib
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Self

import psutil
import structlog

from .wire import ROOT, BrokerAddress
from .wire_client import BrokerError

PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Where distributions put it when it is not on an ordinary user's PATH."""
READY_S = 5.0
START_TRIES = 3
FIRST_DELAY_S = 0.1
LAST_DELAY_S = 5.0
STEADY_AFTER_S = 10.0
STOP_S = 2.0
PR_SET_PDEATHSIG = 1

CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
user root
persistence false
set_tcp_nodelay true
max_queued_messages 1000
max_queued_bytes 16777216
max_packet_size 33554432
sys_interval 0
log_dest stderr
log_type error
log_type warning
"""
"""User: root is to stay root, or mosquitto could not read its folder; of anybody else it does not ask. Names of users,
which may be missing or another's, do not come into it."""

_log: Any = structlog.get_logger(__name__)


def find_mosquitto() -> str | None:
    """The program's path, or None if it is not installed."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), *PLACES]))


class MosquittoBroker:
    """A running child. `pid` changes when it had to be restarted; `address` never does."""

    def __init__(self, program: str, folder: Path, address: BrokerAddress) -> None:
        self.address = address
        self._program = program
        self._folder = folder
        self._said: deque[str] = deque(maxlen=5)
        self._child: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None else 0

    @classmethod
    async def start(cls, program: str, state_dir: Path, username: str, password: str) -> Self:
        """Start it on a free port and wait until it answers. Raises BrokerError with its own last words."""
        folder = _private_folder(state_dir)
        for attempt in range(START_TRIES):
            port = _free_port()
            _write_config(folder, port, username, password)
            address = BrokerAddress(host="127.0.0.1", port=port, username=username, password=password, kind="mosquitto")
            broker = cls(program, folder, address)
            try:
                await broker._spawn()
            except BrokerError:
                # Somebody may have taken the port between looking for a free one and listening on it.
                if attempt + 1 < START_TRIES:
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                raise
            broker._keeper = asyncio.create_task(broker._keep())
            return broker
        raise AssertionError("unreachable")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _spawn(self) -> None:
        try:
            self._child = await asyncio.create_subprocess_exec(
                self._program,
                "-c",
                str(self._folder / "mosquitto.conf"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                preexec_fn=_die_with_parent(),
                start_new_session=True,
            )
        except OSError as error:
            raise BrokerError(f"mosquitto does not start: {error}") from error
        self._listener = asyncio.create_task(self._listen(self._child))
        try:
            await asyncio.wait_for(self._answers(self._child), READY_S)
        except TimeoutError:
            await self._stop()
            await self._listener
            raise BrokerError(f"mosquitto does not answer within {READY_S:g} s: {' / '.join(self._said)}") from None

    async def _answers(self, child: asyncio.subprocess.Process) -> None:
        while child.returncode is None:
            try:
                _, writer = await asyncio.open_connection(self.address.host, self.address.port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            return
        assert self._listener is not None
        await self._listener
        raise BrokerError(f"mosquitto ended at once with status {child.returncode}: {' / '.join(self._said)}")

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        """Keep its last words, and pass them on to our own log."""
        assert child.stderr is not None
        async for line in child.stderr:
            words = line.decode(errors="replace").strip().partition(": ")[2][:500]
            self._said.append(words)
            _log.debug("mosquitto", says=words)

    async def _keep(self) -> None:
        """Start it again whenever it ends."""
        delay_s = FIRST_DELAY_S
        while True:
            assert self._child is not None
            began_s = time.monotonic()
            status = await self._child.wait()
            if time.monotonic() - began_s > STEADY_AFTER_S:
                delay_s = FIRST_DELAY_S
            _log.warning("mosquitto ended, starting it again", status=status, delay_s=delay_s, said=list(self._said))
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LAST_DELAY_S)
            try:
                await self._spawn()
            except BrokerError as error:
                _log.warning("mosquitto does not come back", why=str(error))

    async def _stop(self) -> None:
        if self._child is None or self._child.returncode is not None:
            return
        self._child.terminate()
        try:
            await asyncio.wait_for(self._child.wait(), STOP_S)
        except TimeoutError:
            self._child.kill()
            await self._child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _private_folder(state_dir: Path) -> Path:
    """A folder of mode 0700 for one broker; those that killed daemons left behind are removed."""
    state_dir.mkdir(parents=True, exist_ok=True)
    for old in state_dir.glob("broker-*-*"):
        pid = old.name.split("-")[1]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"broker-{os.getpid()}-", dir=state_dir))


def _write_config(folder: Path, port: int, username: str, password: str) -> None:
    files = {
        "mosquitto.conf": CONFIG.format(port=port, folder=folder),
        "passwords": f"{username}:{_hashed(password)}\n",
        "acl": f"user {username}\ntopic readwrite {ROOT}/#\n",
    }
    for name, text in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)


def _hashed(password: str) -> str:
    """Mosquitto's own form `$6$salt$sha512(password + salt)`; enough for 24 random bytes."""
    salt = secrets.token_bytes(12)
    digest = hashlib.sha512(password.encode() + salt).digest()
    return f"$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _die_with_parent() -> Any:
    """What the child runs before mosquitto: ask Linux to kill it when the daemon dies, however that happens."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec
