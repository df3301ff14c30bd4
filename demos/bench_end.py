"""How a bench ends that keeps what is done: when all is measured, when it cannot go on, when it is called off."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from radixdeck.daemon.loop import run

from .live import EXPECTED
from .progress import Progress


def to_the_end(
    work: Coroutine[Any, Any, None], measured: Callable[[], bool], conclude: Callable[[], bool], progress: Progress
) -> int:
    """Run `work`, then, if anything was `measured`, `conclude`: record and print it, and say whether floors are kept.

    Exit codes: 0 floors reached, 1 missed, 2 could not run, 130 stopped.
    """
    stopped = False
    try:
        run(work)
    except EXPECTED as error:
        progress.say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        stopped = True
    if not measured():
        progress.say("bench: nothing was measured, nothing recorded")
        return 130 if stopped else 2
    kept = conclude()
    return 130 if stopped else 0 if kept else 1
