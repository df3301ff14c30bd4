"""Where things are kept: recordings in runs/, logs in logs/, models made here in models/, sockets in state/."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec
import platformdirs

ENV_HOME = "RADIXDECK_HOME"
RUNS = "runs"
STATE = "state"
MAX_SOCKET_PATH = 100
"""Bytes; the system's limit is 107."""


class Paths(msgspec.Struct, frozen=True):
    """The folders under `home`, made on first use, private to the user."""

    home: Path

    @property
    def runs(self) -> Path:
        return self._made(RUNS)

    @property
    def runs_if_any(self) -> Path:
        """For who only looks: not made."""
        return self.home / RUNS

    @property
    def logs(self) -> Path:
        return self._made("logs")

    @property
    def models(self) -> Path:
        return self._made("models")

    @property
    def state(self) -> Path:
        return self._made(STATE)

    @property
    def state_if_any(self) -> Path:
        """For who only looks: not made."""
        return self.home / STATE

    def socket(self, name: str) -> Path:
        """A path for a Unix socket: in state/ if that is short enough for the system, else in a folder of its own."""
        folder = self.state
        if len(os.fsencode(folder)) + len(name) + len("/.sock") > MAX_SOCKET_PATH:
            folder = Path(tempfile.mkdtemp(prefix="radixdeck-"))
        return folder / f"{name}.sock"

    def _made(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


def home_of(told: str = "") -> Paths:
    """`told` if given, else $RADIXDECK_HOME, else the platform's user data folder."""
    told = told or os.environ.get(ENV_HOME, "")
    return Paths(Path(told).expanduser() if told else Path(platformdirs.user_data_dir("radixdeck")))
