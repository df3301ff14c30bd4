"""Whether there is memory for what is to be read: asked before, since a process that takes more than there is ends with
no word of it, and others with it."""

from __future__ import annotations

import psutil

from .control_groups import left_bytes
from .errors import SessionError, WhatIfError
from .session import Session


def free_bytes() -> int:
    """Memory that can be had now without swapping, of the machine and of the containers that this runs in."""
    return min([int(psutil.virtual_memory().available), *left_bytes()])


def make_sure_of_room(session: Session) -> None:
    """Raises WhatIfError if the prompts of a recording do not fit in the memory that is free."""
    try:
        needed = session.prompts_bytes()
    except SessionError:  # it is read from another table than the prompts
        return
    if needed > (free := free_bytes()):
        raise WhatIfError(
            f"{session.path}: its prompts take {needed / 1e9:.1f} GB of memory to be run again, and {free / 1e9:.1f} GB"
            " are free"
        )
