"""Tables of records in Markdown: printed, or kept between two comment markers of a file, the first of which names the
records, so that anybody can see, and a test does, whether the file says what they say."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .bench_record import RecordError
from .report import RESULTS


class MarkerError(ValueError):
    """A file has no place for a table. The message names the markers."""


@dataclass(frozen=True)
class Tables:
    """One kind of tables, called `name` in the markers, each long and brief. `newest` finds the records that
    they need in a folder, oldest first; `render` makes a table of them, brief or not. Both raise RecordError or
    OSError."""

    name: str
    newest: Callable[[Path], list[Path]]
    render: Callable[[Sequence[Path], bool], str]

    def replaced(self, text: str, records: Sequence[Path], *, brief: bool) -> str:
        """The file with the table of `records`. Raises MarkerError, RecordError or OSError."""
        start, end = self._block(text, brief).span()
        begin, after = self._markers(" ".join(path.name for path in records), brief)
        return f"{text[:start]}{begin}\n{self.render(records, brief)}\n{after}{text[end:]}"

    def named_in(self, text: str, *, brief: bool) -> list[str]:
        """Names of the records that a file's table is of. Raises MarkerError."""
        return self._block(text, brief)[1].split()

    def _markers(self, records: str, brief: bool) -> tuple[str, str]:
        return f"<!-- {self.name} {'in brief ' if brief else ''}of {records} -->", f"<!-- end of {self.name} -->"

    def _block(self, text: str, brief: bool) -> re.Match[str]:
        begin, end = self._markers("((?:(?! -->).)*)", brief)
        found = re.search(rf"{begin}\n(.*?)\n?{end}", text, re.S)
        if found is None:
            begin, end = self._markers("RECORD.json", brief)
            raise MarkerError(f"no {begin!r} with {end!r} after it")
        return found

    def main(self, program: str, description: str, arguments: Sequence[str] | None) -> int:
        """Print a table, write it, or look whether it is up to date. Exit codes: 0 done, 1 it is not, 2 could not."""
        parser = argparse.ArgumentParser(prog=f"python -m radixdeck.demos.{program}", description=description)
        parser.add_argument("--results", type=Path, default=RESULTS, help="folder of records [demos/results]")
        parser.add_argument("--brief", action="store_true", help="only what matters most")
        parser.add_argument("--into", type=Path, help="write it into this file, between the markers")
        parser.add_argument("--check", action="store_true", help="only compare it with the records that the file names")
        told = parser.parse_args(arguments)
        try:
            if told.into is None:
                print(self.render(self.newest(told.results), told.brief))
                return 0
            before = told.into.read_text(encoding="utf-8")
            if told.check:
                records = [told.results / name for name in self.named_in(before, brief=told.brief)]
                return 0 if before == self.replaced(before, records, brief=told.brief) else 1
            after = self.replaced(before, self.newest(told.results), brief=told.brief)
            told.into.write_text(after, encoding="utf-8")
        except (MarkerError, RecordError, OSError) as error:
            print(f"{program}: {error}", file=sys.stderr)
            return 2
        return 0
