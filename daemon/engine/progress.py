"""Reads the engine's log as it grows: what it is doing, and why it failed, in words."""

from __future__ import annotations

import os
import re
from collections import deque
from pathlib import Path

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
_NO_SGLANG = re.compile(r"No module named '?sglang'?(?:$|\s)")
_KEPT_LINES = 200


class LogReader:
    """Follows one log file. `phase`: what the engine does now. `read` is to be called now and then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.phase = FIRST_PHASE
        self._at = 0
        self._part = b""
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)

    def read(self) -> None:
        """Take in what was written since the last call. A log cut short is followed from its new end."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            self._at = min(self._at, size)
            file.seek(self._at)
            lines = (self._part + file.read()).split(b"\n")
            self._at = size
        self._part = lines.pop()
        for line in lines:
            self._take(line.decode("utf-8", "replace"))

    def cut(self, max_bytes: int) -> None:
        """Empty the log once it is larger than that: a server that runs for weeks must not fill the disk."""
        if self._at > max_bytes:
            os.truncate(self.path, 0)
            self._at = 0

    def _take(self, line: str) -> None:
        self._tail.append(_STAMP.sub("", line).rstrip())
        for mark, words in _PHASES:
            if mark in line:
                found = _KV_TOKENS.search(line)
                self.phase = f"{words}: {int(found[1]):,} tokens" if found else words

    def problem(self) -> str:
        """The last error in the log, else its last line; empty if it is empty."""
        if any(_NO_SGLANG.search(line) for line in self._tail):
            return "SGLang is not installed in this Python"
        errors = [line for line in self._tail if _RAISED.match(line) or _USAGE.match(line)]
        said = [line for line in self._tail if line.strip()]
        return (errors or said or [""])[-1][:500]
