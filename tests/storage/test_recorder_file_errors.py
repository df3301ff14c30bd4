"""A file that the system will not show or open, for a while: recording waits for it, and nothing is lost."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from storage_samples import info, stream

from radixdeck.storage import recorder as recorder_module
from radixdeck.storage.files import SUFFIX
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

EVENTS = stream(5)


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Called with an error number: from then on looking at a recording fails with it, 0 for no more."""
    present, real = [0], Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if present[0] and path.suffix == SUFFIX:
            raise OSError(present[0], os.strerror(present[0]), str(path))
        return real(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
    return lambda number: present.__setitem__(0, number)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO])
async def test_a_file_that_cannot_be_looked_at_is_tried_again_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hide: Callable[[int], None], number: int
) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_S", 0.001)
    monkeypatch.setattr(recorder_module, "RETRY_S", 0.001)
    recorder = Recorder(tmp_path / "a.db", info())
    hide(number)
    task = asyncio.create_task(recorder.run())
    for seq, event in enumerate(EVENTS, 1):
        recorder.record(seq, event)
    async with asyncio.timeout(10):
        while not recorder.failed:  # noqa: ASYNC110 - the recorder has nobody to tell but its counters
            await asyncio.sleep(0.001)
        assert f"a.db cannot be written: {os.strerror(number)}; trying again" in recorder.failed
        assert (recorder.backlog, recorder.dropped) == (len(EVENTS), 0)
        hide(0)
        while recorder.failed:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await recorder.close()
    await task
    with open_session(recorder.path) as session:
        assert session.events(0, 100) == list(enumerate(EVENTS, 1))


async def test_a_file_that_cannot_be_looked_at_to_the_end_is_said_and_what_is_lost_is_counted(
    tmp_path: Path, hide: Callable[[int], None]
) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    hide(errno.EIO)
    for seq, event in enumerate(EVENTS, 1):
        recorder.record(seq, event)
    await recorder.close()
    assert "Input/output error" in recorder.failed
    assert recorder.dropped == len(EVENTS)
