"""The recording of a daemon's run: a file at a time, of which the oldest go when together they take too much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from radixdeck.storage.files import RunInfo, run_path
from radixdeck.storage.listing import prune
from radixdeck.storage.recorder import Recorder

from .config import DaemonConfig, public

LOOK_S = 1.0

log = structlog.get_logger(__name__)


def begin_recording(
    config: DaemonConfig, folder: Path, run: str, started_ns: int, version: str, goes_on: Callable[[Path], None]
) -> Recorder:
    """Begin the first file, in `folder`; `goes_on` is told of each further one. Raises RecordingError."""
    info = RunInfo(
        run=run, node=config.node, started_ns=started_ns, version=version, config=public(config),
        model=config.engine.model or "made on the spot", prompts_stored=config.record_anchors,
    )  # fmt: skip
    path = run_path(folder, config.node, started_ns)
    return Recorder(path, info, max_bytes=config.max_recording_bytes, goes_on=goes_on)


async def make_room(folder: Path, keep_bytes: int) -> None:
    """Delete the oldest recordings of `folder`, in a thread: to look at them takes a while."""
    try:
        for path in await asyncio.to_thread(prune, folder, keep_bytes):
            log.info("an old recording was deleted", path=str(path))
    except OSError as error:
        log.warning("old recordings could not be deleted", why=str(error))


async def tell_failures(recorder: Recorder, changed: Callable[[], None]) -> None:
    """Log when recording stands still and when it goes on, and call `changed` each time."""
    told = ""
    while True:
        await asyncio.sleep(LOOK_S)
        if recorder.failed != told:
            told = recorder.failed
            if told:
                log.error("recording stands still", why=told)
            else:
                log.info("recording goes on")
            changed()
