"""What the system allows this process."""

from __future__ import annotations

import contextlib
import resource

ENOUGH_FILES = 1 << 20
"""Some programs that we start go through every descriptor they may have."""


def raise_open_files() -> None:
    """Allow this process as many open files as the system lets it have: every connection of the front takes one, and
    the usual 1,024 are soon gone. Changes nothing where that is not possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
