"""Command lines for the user to type, as they work in the shell that the demo was started from."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def radixdeck(*words: str, home: str = "") -> str:
    """`radixdeck` with `words`, and with `--home` where one was given.

    The script beside the running interpreter, for a virtual environment need not be on the user's path; relative to the
    working directory where it is below it. Without such a script, the interpreter and the module.
    """
    script = Path(sys.executable).with_name("radixdeck")
    program = [_short(script)] if script.is_file() else [_short(Path(sys.executable)), "-m", "radixdeck.console.cli"]
    return shlex.join([*program, *words, *(["--home", home] if home else [])])


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
