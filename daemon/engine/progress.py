"""Reads the engine's log as it grows: what it is doing, and why it failed, in words."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Self

_PHASES = (
    ("Init parallel begin", "starting the scheduler"),
    ("Downloading", "downloading the model"),
    ("Load weight begin", "loading weights"),
    ("Load weight end", "weights loaded"),
    ("KV Cache is allocated", "allocating the KV cache"),
    ("Capture", "capturing graphs"),
    ("Application startup complete", "warming up"),
)
FIRST_PHASE = "importing SGLang"
_STAMP = re.compile(r"^\[[^\]]*\]\s*")
_KV_TOKENS = re.compile(r"KV Cache is allocated.*#tokens: (\d+)")
_RAISED = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|NotFound\w*)\b(?::|$)")
_USAGE = re.compile(r"^[\w./-]+: error: ")
_NO_ADDRESS = re.compile(r"^ERROR:\s+\[Errno ")  # of SGLang's HTTP server
_NO_SGLANG = re.compile(r"No module named '?sglang'?(?:$|\s)")
_KEPT_LINES = 200


class LogReader:
    """Follows one log file, within a `with` block. `phase`: what the engine does now. `read` is to be called now and
    then. The file is held open: who removes it leaves the engine writing to it all the same."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if there is no such file."""
        self.path = path
        self._file = path.open("r+b", buffering=0)
        self.phase = FIRST_PHASE
        self._at = 0
        self._part = b""
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self) -> None:
        """Take in what was written since the last call. A log cut short is followed from its new end."""
        size = self._file.seek(0, 2)
        self._at = min(self._at, size)
        self._file.seek(self._at)
        lines = (self._part + self._file.read()).split(b"\n")
        self._at = size
        self._part = lines.pop()
        for line in lines:
            self._take(line.decode("utf-8", "replace"))

    def cut(self, max_bytes: int) -> None:
        """Empty the log once it is larger than that: a server that runs for weeks must not fill the disk."""
        if self._at > max_bytes:
            self._file.truncate(0)
            self._at = 0

    def _take(self, line: str) -> None:
        self._tail.append(_STAMP.sub("", line).rstrip())
        for mark, words in _PHASES:
            if mark in line:
                found = _KV_TOKENS.search(line)
                self.phase = f"{words}: {int(found[1]):,} tokens" if found else words

    def problem(self) -> str:
        """The last error in the log, else its last line; empty if it is empty."""
        said = [line for line in self._tail if line.strip()]
        return self.error() or (said or [""])[-1][:500]

    def error(self) -> str:
        """The last error in the log; empty if there is none."""
        if any(_NO_SGLANG.search(line) for line in self._tail):
            return "SGLang is not installed in this Python"
        errors = [line for line in self._tail if any(form.match(line) for form in (_RAISED, _USAGE, _NO_ADDRESS))]
        return (errors or [""])[-1][:500]
