"""Which recording is meant: by its file, by the name that the list of recordings gives it, or by `latest`."""

from __future__ import annotations

import difflib
from pathlib import Path

from .errors import SessionError
from .files import SUFFIX, is_gone
from .opening import translated
from .session import open_session

LATEST = "latest"


def names(folder: Path) -> list[str]:
    """Names of the recordings in `folder`, newest first. A folder that does not exist has none."""
    return sorted((path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}")), reverse=True)


def find_recording(told: str, folder: Path) -> Path:
    """The file that `told` means: itself if it is there, else the recording of that name in `folder`, with or without
    its suffix; `latest` is the newest one there that can be read. Raises SessionError saying what was looked for."""
    if told == LATEST:
        return _latest(folder)
    path = Path(told)
    with translated(path):
        if not is_gone(path):
            return path
    if path.name != told:
        raise SessionError(f"{told}: no such file")
    known = names(folder)
    name = told.removesuffix(SUFFIX)
    if name in known:
        return folder / f"{name}{SUFFIX}"
    raise SessionError(f"{told}: no such file, and no recording of that name in {folder}{_nearest(name, known)}")


def _latest(folder: Path) -> Path:
    for name in names(folder):
        path = folder / f"{name}{SUFFIX}"
        try:
            open_session(path).close()
        except SessionError:
            continue
        return path
    raise SessionError(f"{LATEST}: no recording that can be read in {folder}")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
