"""Who runs here: each daemon leaves a small private file, so that a console on the same machine finds it by itself."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from radixdeck.storage.process_start import start_of, still_runs

from .wire import Discovery, WireError, decode, topic

FOLDER = "daemons"
CLOCK_SLACK_S = 2.0


class DiscoveryError(RuntimeError):
    """No such daemon, or more than one, or the name is taken. The message says which."""


def announce(state_dir: Path, discovery: Discovery) -> Path:
    """Write the file, atomically and with mode 0600. Raises DiscoveryError if a live daemon has this name already,
    ValueError if the name cannot be one, OSError if the folder cannot be written."""
    topic(discovery.node, "status")
    path = _path(state_dir, discovery.node)
    path.parent.mkdir(parents=True, exist_ok=True)
    other = _read_live(path)
    if other is not None and other.pid != discovery.pid:
        raise DiscoveryError(f"a daemon named {discovery.node!r} runs already (pid {other.pid}); give this one --node")
    # mkstemp makes the file 0600, and the name does not end in .json, so nobody reads a half-written one.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{discovery.node}-")
    try:
        with os.fdopen(handle, "wb") as file:
            told = msgspec.structs.replace(discovery, start=start_of(discovery.pid))
            file.write(msgspec.json.encode(told))
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    return path


def withdraw(state_dir: Path, node: str, pid: int) -> None:
    """Remove the file of a daemon that ends, unless another one has taken its place."""
    path = _path(state_dir, node)
    known = _read(path)
    if known is not None and known.pid == pid:
        path.unlink(missing_ok=True)


def running(state_dir: Path) -> list[Discovery]:
    """Every live daemon of this state folder, by name. Files of dead ones are removed, unreadable ones skipped."""
    found: list[Discovery] = []
    for path in sorted((state_dir / FOLDER).glob("*.json")):
        live = _read_live(path)
        if live is not None:
            found.append(live)
        elif _read(path) is not None:
            path.unlink(missing_ok=True)
    return found


def find(state_dir: Path, node: str | None = None) -> Discovery:
    """The daemon of this name, or the only one there is. Raises DiscoveryError saying what runs instead."""
    known = running(state_dir)
    wanted = [one for one in known if node is None or one.node == node]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(one.node for one in known)
    if not known:
        raise DiscoveryError(
            f"no daemon runs here (looked in {state_dir / FOLDER}); start one with: radixdeck serve, or give --broker"
        )
    if not wanted:
        raise DiscoveryError(f"no daemon named {node!r} runs here; running: {names}")
    raise DiscoveryError(f"{len(wanted)} daemons run here: {names}; choose one with --node")


def _path(state_dir: Path, node: str) -> Path:
    return state_dir / FOLDER / f"{node}.json"


def _read(path: Path) -> Discovery | None:
    try:
        known: Discovery = decode(Discovery, path.read_bytes(), path.name)
    except (OSError, WireError):
        return None
    return known


def _read_live(path: Path) -> Discovery | None:
    """What the file says, if the process that wrote it still lives. A later process with its pid does not count."""
    known = _read(path)
    if known is None:
        return None

    def born_before_file(born_s: float) -> bool:
        return born_s <= path.stat().st_mtime + CLOCK_SLACK_S

    return known if still_runs(known.pid, known.start, born_before_file) else None
