"""A run that outgrows its file, as a daemon records it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from radixdeck.policies.events import AnyEvent
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.anchor_text import AnchorText
from radixdeck.storage.files import RunInfo, size_bytes
from radixdeck.storage.recorder import Recorder

LIMIT = 400_000


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.db"))


async def recorded_on(
    folder: Path,
    events: Sequence[AnyEvent],
    about: RunInfo,
    *,
    limit: int = LIMIT,
    every: int = 100,
    texts: Sequence[AnchorText] = (),
) -> tuple[Recorder, list[Path]]:
    """The files of the run, in order, of which one is begun when the one before has `limit` bytes; that is looked at
    after `every` events. `texts`: anchors that are kept from the beginning."""
    told: list[Path] = []
    recorder, state = Recorder(folder / "0.db", about, max_bytes=limit, goes_on=told.append), RunState()
    for text in texts:
        recorder.keep(text)
    for seq, event in enumerate(events, 1):
        fold(state, event)
        recorder.record(seq, event)
        if recorder.wants_keyframe:
            recorder.keyframe(seq, state)
        if seq % every == 0:
            await recorder.flush()
    await recorder.close()
    files = files_in(folder)
    assert [folder / "0.db", *told] == files[: 1 + len(told)], "names sort by time; the last may come with the end"
    return recorder, files


async def turned_behind(folder: Path, events: Sequence[AnyEvent], about: RunInfo, seq: int) -> list[Path]:
    """The two files of a run of which the second begins with the event after number `seq`."""
    recorder, state = Recorder(folder / "0.db", about, goes_on=lambda _: None), RunState()
    for number, event in enumerate(events, 1):
        fold(state, event)
        recorder.record(number, event)
        if number == seq:
            recorder.max_bytes, roomy = size_bytes(recorder.path), recorder.max_bytes
            await recorder.flush()
            assert recorder.wants_keyframe
            recorder.keyframe(number, state)
            recorder.max_bytes = roomy
    await recorder.close()
    return files_in(folder)
