"""However a console ends, what it heard goes with it; of one that was killed the next console removes it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from radixdeck.console.heard_folder import PREFIX, YOUNG_S, HeardFolder

CONSOLE = """
import fcntl, signal, sys, termios
from pathlib import Path
from shadow_stage import messages, served_events
from staging import ScriptedFeed
from test_heard import on_the_bus
from radixdeck.console.app import ConsoleApp
from radixdeck.console.ending import run
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
told = messages(Path("elsewhere.db"), on_the_bus(served_events()))
sys.exit(run(ConsoleApp(ScriptedFeed(told))))
"""
"""On a terminal of its own, also if the tests run under nohup, about a daemon whose recording is on another machine."""
KEYS = b"4C"
PATIENCE_S = 60.0


@pytest.mark.parametrize("close", [False, True])
def test_nothing_is_left_behind_of_a_console_that_is_ended(tmp_path: Path, close: bool) -> None:
    """By SIGTERM, or since its terminal was closed."""
    ours, theirs = pty.openpty()
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": path, "TERM": "xterm-256color"}
    child = subprocess.Popen(
        [sys.executable, "-c", CONSOLE], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=tmp_path,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        _until(ours, lambda: any(tmp_path.glob(f"{PREFIX}*/heard.db")), KEYS)
        if not close:
            child.send_signal(signal.SIGTERM)
            _until(ours, lambda: child.poll() is not None)
            assert child.returncode == 128 + signal.SIGTERM
        os.close(ours)
        assert child.wait(PATIENCE_S) > 0, "it ended by itself"
        assert not list(tmp_path.glob(f"{PREFIX}*"))
    finally:
        child.kill()
        child.wait()


def _until(terminal: int, true: Callable[[], bool], keys: bytes = b"") -> None:
    """Read what it draws, and type now and then."""
    end_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end_s
        if select.select([terminal], [], [], 0.5)[0]:
            with contextlib.suppress(OSError):
                os.read(terminal, 65_536)
        elif keys:
            os.write(terminal, keys)


def test_what_a_killed_console_left_behind_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = HeardFolder()
    left, young, file = (tmp_path / f"{PREFIX}{name}" for name in ("left", "young", "file"))
    for folder in (left, young):
        folder.mkdir()
        (folder / "heard.db").write_bytes(b"x")
    file.write_bytes(b"x")
    (tmp_path / "another").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "another")
    long_ago_s = time.time() - 2 * YOUNG_S
    for path in (held.path, left, file, tmp_path / "another"):
        os.utime(path, (long_ago_s, long_ago_s))
    os.utime(tmp_path / f"{PREFIX}link", (long_ago_s, long_ago_s), follow_symlinks=False)
    new = HeardFolder()
    assert not left.exists()
    assert all(path.exists() for path in (held.path, young, file, tmp_path / "another", new.path))
    held.close()
    new.close()
    assert not held.path.exists()
    assert not new.path.exists()
