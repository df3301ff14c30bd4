"""Says on standard error what is going on: a line that moves on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from .drive import Outcome

QUIET_PERIOD_S = 10.0


class Progress:
    """`quiet`: while something else, such as the console, has the screen, nothing is written."""

    def __init__(self) -> None:
        self.quiet = False
        self._moving = sys.stderr.isatty()
        self._open_line = False

    def say(self, text: str) -> None:
        """One line that stays."""
        self._write(text, stays=True)

    def move(self, text: str) -> None:
        """A line that the next one replaces; nothing where lines cannot be replaced."""
        if self._moving:
            self._write(text, stays=False)

    def _write(self, text: str, *, stays: bool) -> None:
        if self.quiet:
            return
        start = "\r\x1b[K" if self._open_line else ""
        sys.stderr.write(start + text + ("\n" if stays else ""))
        sys.stderr.flush()
        self._open_line = not stays


class Counting:
    """Follows one drive: how many of `total` requests are done and the hit rate so far."""

    def __init__(self, progress: Progress, label: str, total: int) -> None:
        self._progress, self._label, self._total = progress, label, total
        self._done = self._prompt_tokens = self._cached_tokens = self._failed = 0
        self._said_s = time.monotonic()

    def __call__(self, outcome: Outcome) -> None:
        self._done += 1
        self._failed += bool(outcome.error)
        self._prompt_tokens += outcome.prompt_tokens
        self._cached_tokens += outcome.cached_tokens
        text = f"  {self._label}: {self._done} of {self._total} requests, hit rate {self._hit_rate:.0f} %"
        text += f", {self._failed} failed ({outcome.error})" if self._failed else ""
        if self._done == self._total or time.monotonic() - self._said_s > QUIET_PERIOD_S:
            self._said_s = time.monotonic()
            self._progress.say(text)
        else:
            self._progress.move(text)

    @property
    def _hit_rate(self) -> float:
        return 100 * self._cached_tokens / self._prompt_tokens if self._prompt_tokens else 0.0
