"""Become another program that dies with the process that started it. Run as a file, needs nothing but ctypes.

Usage: bound.py PARENT_PID PROGRAM ARGUMENTS...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, words: list[str]) -> None:
    """Ask the kernel for SIGKILL at the parent's death (Linux; elsewhere nothing is asked), then exec `words`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit("the process that asked for this is gone already")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it, and so would its children
    try:
        os.execvp(words[0], words)
    except OSError as error:
        raise SystemExit(f"{words[0]}: {error.strerror}") from None


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
