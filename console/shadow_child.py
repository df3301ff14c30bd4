"""`python -m radixdeck.console.shadow_child`: the process in which a shadow follows its recording, resting in between.

It works when asked, for as long as nobody notices, and says how far it came.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import msgspec

from radixdeck.storage.beside import BesideView

from .aside import Asker
from .shadow_run import Choice, Shadow

MODULE = "radixdeck.console.shadow_child"
REST = 3.0
"""After a slice so many times what it took of the processor passes: it never takes more than a quarter of a core."""
ANSWER_S = 0.4
"""It answers after so long, with whatever it has."""


class ShadowTask(msgspec.Struct, frozen=True):
    """What to follow, and what to model beside what."""

    path: str
    choice: Choice


class Stepped(msgspec.Struct, frozen=True):
    """How a shadow stands, as `Shadow` says it. `more`: there is more to do at once."""

    more: bool
    words: str
    trouble: str = ""
    skipped: int = 0
    view: BesideView | None = None


def work(shadow: Shadow, target: int) -> Stepped:
    """Some slices nearer to event `target`."""
    until_s = time.monotonic() + ANSWER_S
    while True:
        spent_s = time.process_time()
        more = shadow.step(target)
        if more or not shadow.trouble:
            time.sleep(REST * (time.process_time() - spent_s))
        if not more or time.monotonic() >= until_s:
            return Stepped(more, shadow.words, shadow.trouble, shadow.skipped, shadow.view)


def main() -> None:
    """Until the console is gone."""
    task = msgspec.json.decode(sys.argv[1].encode(), type=ShadowTask)
    asker, shadow = Asker(), Shadow(Path(task.path), task.choice)
    with contextlib.suppress(BrokenPipeError):
        while (target := asker.question(int)) is not None:
            asker.tell(work(shadow, target))


if __name__ == "__main__":
    main()
