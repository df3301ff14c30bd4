"""The files that policies take their rules from: read at the start, and again whenever one of them changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from radixdeck.policies.doorkeeping import Ruled, RulesError
from radixdeck.policies.events import RulesRead
from radixdeck.policies.registry import PolicyError, create

LOOK_PERIOD_S = 1.0
MAX_BYTES = 1 << 20

Stamp = tuple[int, int, int]


def checked_rules(files: Mapping[str, str]) -> None:
    """Raises RulesError naming policy, file, key and line if a file cannot be used, or its policy takes no rules."""
    for policy, path in files.items():
        try:
            made = create(policy)
            if not isinstance(made, Ruled):
                raise RulesError("this policy takes no rules")
            made.obey(read_rules_file(Path(path)))
        except Exception as error:
            raise RulesError(f"rules of {policy} ({path}): {_words(error)}") from error


class RulesFiles:
    """`obey` gives a policy its rules, `emit` says what became of it. A file that cannot be used, or is gone, leaves
    the rules that were read last. One that changes is read once it is the same at two looks, so not half written."""

    def __init__(
        self,
        files: Mapping[str, str],
        obey: Callable[[str, str], None],
        emit: Callable[[RulesRead], None],
        now_ns: Callable[[], int],
    ) -> None:
        self._files = {policy: Path(path) for policy, path in files.items()}
        self._obey, self._emit, self._now_ns = obey, emit, now_ns
        self._read: dict[str, Stamp | None] = {}
        self._seen: dict[str, Stamp | None] = {}

    def look(self) -> None:
        """Read what has changed since the last look."""
        for policy, path in self._files.items():
            stamp = _stamp(path)
            first = policy not in self._read
            if first or (self._read[policy] != stamp and self._seen[policy] == stamp):
                self._read[policy] = stamp
                self._take(policy, path)
            self._seen[policy] = stamp

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_PERIOD_S)

    def _take(self, policy: str, path: Path) -> None:
        ok, detail = True, ""
        try:
            self._obey(policy, read_rules_file(path))
        except Exception as error:  # whatever a file does to a reader, the daemon goes on
            ok, detail = False, _words(error)
        self._emit(RulesRead(t_ns=self._now_ns(), policy=policy, path=str(path), ok=ok, detail=detail))


def _words(error: Exception) -> str:
    expected = isinstance(error, RulesError | PolicyError)
    return str(error) if expected else f"{type(error).__name__}: {error}"


def read_rules_file(path: Path) -> str:
    """The text of a file of rules. Raises RulesError in words."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise RulesError(f"larger than {MAX_BYTES >> 20} MiB")
        return data.decode()
    except OSError as error:
        raise RulesError(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RulesError(f"not UTF-8: {error}") from error


def _stamp(path: Path) -> Stamp | None:
    """What changes when a file is written or replaced; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
