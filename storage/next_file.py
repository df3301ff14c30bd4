"""A run that outgrows its file goes on in another one, which begins with the state so far and can be read alone."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from radixdeck.policies.events import AnyEvent, EngineStarted, PrefixInserted, PrefixMatched
from radixdeck.policies.reuse.shadow import REMEMBERED

from . import anchor_text
from .anchor_text import AnchorText
from .errors import StorageError
from .files import RunInfo, run_path
from .opening import connect_to_recording
from .prompts import PromptBook
from .writer import Fact, Frame, Item, Writer

CONTINUES = "continues"
"""Key in a recording's configuration: the name of the file that the run was in before."""
GOES_ON = "goes on in "
"""What the file before says of its end, with the name of the next one behind it."""
KEPT = 2 * REMEMBERED
"""Finished requests that the next one may be told against: the engine refers to half as many."""


class NextFile(msgspec.Struct, frozen=True):
    """What is behind it is for the next file. `first`: the state there, `at_ns` the moment it is named after."""

    first: Frame

    @property
    def at_ns(self) -> int:
        return self.first.at_ns


Queued = Item | NextFile


def begin_next(before: Writer, info: RunInfo, item: NextFile) -> Writer:
    """Begin the next file of a run and end the one before, which names it. Raises StorageError, sqlite3.Error or
    OSError if that cannot be done; the file before can be written on then."""
    path = run_path(before.path.parent, info.node, item.at_ns)
    config = info.config | {CONTINUES: before.path.name}
    writer = Writer(path, msgspec.structs.replace(info, started_ns=item.at_ns, config=config))
    try:
        writer.write([*(_texts(before) if info.prompts_stored else []), item.first])
    except (sqlite3.Error, StorageError, OSError):
        writer.discard()
        raise
    with suppress(sqlite3.Error):
        before.finish(f"{GOES_ON}{path.name}")
    return writer


def next_of(path: Path, ended_why: str) -> Path | None:
    """The file that a run goes on in, by what the one at `path` says of its end; None if that is the last."""
    return path.with_name(ended_why.removeprefix(GOES_ON)) if ended_why.startswith(GOES_ON) else None


def _texts(before: Writer) -> list[AnchorText]:
    """Each is told once in a run."""
    with closing(connect_to_recording(before.path)) as connection:
        return [AnchorText(**dict(row)) for row in connection.execute(anchor_text.SELECT_ALL)]


class Alone:
    """Prompts are told as what they add to an earlier one; where that is in the file before, they are told whole."""

    def __init__(self) -> None:
        self._book = PromptBook(KEPT)
        self._here: OrderedDict[str, None] = OrderedDict()

    def begin(self) -> None:
        """From now on for the next file."""
        self._here.clear()

    def told(self, item: Queued) -> Queued:
        """The item as it is stored. Once for each, in order."""
        if not isinstance(item, Fact):
            return item
        event = self._event(item.event)
        return item if event is item.event else msgspec.structs.replace(item, event=event)

    def _event(self, event: AnyEvent) -> AnyEvent:
        if isinstance(event, EngineStarted):
            self._book.clear()
        if isinstance(event, PrefixInserted) and event.phase == "finish":
            self._book.finished(event)
        if not isinstance(event, PrefixMatched):
            return event
        whole = self._book.matched(event)
        away = event.base_rid and event.base_rid not in self._here
        self._here[event.rid] = None
        self._here.move_to_end(event.rid)
        while len(self._here) > KEPT:
            self._here.popitem(last=False)
        if whole is None or not away:
            return event
        return msgspec.structs.replace(event, base_rid="", base_tokens=0, tail=whole.astype("<u4").tobytes())
