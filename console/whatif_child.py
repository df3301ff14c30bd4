"""`python -m radixdeck.console.whatif_child`: the process in which what-ifs of one recording run, as asked."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import msgspec

from radixdeck.policies.host import PolicyError, TunableError
from radixdeck.storage.errors import StorageError
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import AS_IT_WAS, Change, Outcome, Recorded, what_if

from .aside import Asker
from .whatif_case import Case
from .whatif_columns import Ran, ran

MODULE = "radixdeck.console.whatif_child"
TELL_EVERY_S = 0.2


class WhatIfTask(msgspec.Struct, frozen=True):
    """The recording that all of them are of."""

    path: str


class Report(msgspec.Struct, frozen=True):
    """How far it has come, 0 to 1; why it cannot go on, or what it found: the last report about a case has either."""

    share: float = 0.0
    failed: str = ""
    found: Ran | None = None


class Gone(Exception):
    """The console is."""


class Teller:
    """Says now and then how far it has come, and notices that nobody listens."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._told_s = 0.0

    def __call__(self, share: float) -> None:
        """Raises Gone."""
        if time.monotonic() - self._told_s >= TELL_EVERY_S:
            self._told_s = time.monotonic()
            if self._asker.gone:
                raise Gone
            self._asker.tell(Report(share))


class Runner:
    """Runs cases of one recording as it was when the first of them was asked for, so that they can be compared."""

    def __init__(self, path: Path, teller: Teller) -> None:
        self._path, self._teller = path, teller
        self._recorded: Recorded | None = None

    def run(self, case: Case) -> Report:
        """Raises Gone."""
        try:
            recorded = self._read()
            return Report(1.0, found=ran(recorded, self._outcome(recorded, case), case.words))
        except (StorageError, PolicyError, TunableError) as error:
            return Report(failed=str(error))

    def _read(self) -> Recorded:
        """Raises StorageError."""
        if self._recorded is None:
            self._recorded = Recorded(open_session(self._path))
        return self._recorded

    def _outcome(self, recorded: Recorded, case: Case) -> Outcome:
        """Raises StorageError, PolicyError, TunableError or Gone."""
        tunables = tuple((case.policy, name, value) for name, value in case.values)
        if case.after_seq < 0:
            change = Change(-1, "", tunables) if tunables else None
            return what_if(recorded, case.policy, times=case.times, change=change, progress=self._teller)
        change = Change(case.after_seq, case.policy, tunables, times=case.times)
        return what_if(recorded, AS_IT_WAS, change=change, progress=self._teller)


def main() -> None:
    """Until the console is gone."""
    task = msgspec.json.decode(sys.argv[1].encode(), type=WhatIfTask)
    asker = Asker()
    runner = Runner(Path(task.path), Teller(asker))
    with contextlib.suppress(BrokenPipeError, Gone):
        while (case := asker.question(Case)) is not None:
            asker.tell(runner.run(case))


if __name__ == "__main__":
    main()
