"""The process beside the console: it answers, gives way, ends with the console however that ends, and dies in words."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from scenario import NODE, RUN, T0_NS
from shadow_stage import record, served_events

from radixdeck.console.aside import NICENESS, Aside, AsideError
from radixdeck.console.shadow_child import MODULE, ShadowTask, Stepped
from radixdeck.console.shadow_run import EVERYTHING, Choice
from radixdeck.console.whatif_case import Case
from radixdeck.console.whatif_child import MODULE as WHATIF
from radixdeck.console.whatif_child import Report, WhatIfTask
from radixdeck.console.whatif_columns import Ran
from radixdeck.console.whatif_runs import WhatIfs
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder

CONSOLE_THAT_IS_KILLED = """
import asyncio, os, signal, sys
from radixdeck.console.aside import Aside
from radixdeck.console.shadow_child import MODULE, ShadowTask, Stepped
from radixdeck.console.shadow_run import EVERYTHING, Choice
async def main():
    async with Aside(MODULE, ShadowTask(sys.argv[1], Choice("lru", "kv_caching")), Stepped) as aside:
        await aside.ask(1)
        print(aside.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("aside") / "run.db")


def shadow(path: Path) -> Aside[Stepped]:
    return Aside(MODULE, ShadowTask(str(path), Choice("lru", "kv_caching")), Stepped)


def is_there(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_it_answers_gives_way_and_is_gone_afterwards(path: Path) -> None:
    async with shadow(path) as aside:
        stepped = await aside.ask(EVERYTHING)
        while stepped.more:
            stepped = await aside.ask(EVERYTHING)
        assert stepped.view is not None
        assert [side.policy for side in stepped.view.sides] == ["lru", "kv_caching"]
        assert psutil.Process(aside.pid).nice() == min(19, os.nice(0) + NICENESS)
        pid = aside.pid
    assert not is_there(pid)


async def test_it_is_gone_when_what_waits_for_it_is_cancelled(path: Path) -> None:
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def follow() -> None:
        async with shadow(path) as aside:
            begun.set_result(aside.pid)
            while True:
                await aside.ask(EVERYTHING)

    following = asyncio.create_task(follow())
    pid = await begun
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert not is_there(pid)


def test_it_does_not_outlive_a_console_that_is_killed(path: Path) -> None:
    command = [sys.executable, "-c", CONSOLE_THAT_IS_KILLED, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    pid, until_s = int(ran.stdout), time.monotonic() + 10
    while is_there(pid) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not is_there(pid)


async def test_it_is_gone_when_it_is_no_longer_wanted_before_it_has_begun(path: Path) -> None:
    async def follow() -> None:
        async with shadow(path):
            pass

    before = {child.pid for child in psutil.Process().children()}
    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    left = [child for child in psutil.Process().children() if child.pid not in before and is_there(child.pid)]
    assert left == []


async def test_that_no_process_can_be_begun_is_said_in_words(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(path.with_name("no such python")))
    with pytest.raises(AsideError, match="no process of its own"):
        await shadow(path).__aenter__()


async def test_that_it_died_is_said_in_words(path: Path) -> None:
    async with shadow(path) as aside:
        await aside.ask(1)
        os.kill(aside.pid, signal.SIGKILL)
        with pytest.raises(AsideError, match="ended with -9"):
            await aside.ask(1)


async def test_what_is_no_answer_is_said_in_words(path: Path) -> None:
    async with Aside(MODULE, ShadowTask(str(path), Choice("lru")), ShadowTask) as aside:
        with pytest.raises(AsideError, match="no answer"):
            await aside.ask(1)


async def test_the_next_what_if_runs_in_a_new_process_after_one_died(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, asked = WhatIfs(path), Aside.ask

    async def dies_first(aside: Aside[Report], question: object) -> Report:
        if question == Case("lru"):
            os.kill(aside.pid, signal.SIGKILL)
        return await asked(aside, question)

    monkeypatch.setattr(Aside, "ask", dies_first)
    await runs.run([Case("lru"), Case("kv_caching")])
    assert "ended with -9" in runs.failed[Case("lru")]
    assert list(runs.outcomes) == [Case("kv_caching")]


async def found_by(aside: Aside[Report], case: Case) -> Ran:
    told = await aside.ask(case)
    while told.found is None:
        assert not told.failed
        told = await aside.next()
    return told.found


async def test_a_recording_that_has_grown_is_read_anew(tmp_path: Path) -> None:
    """By the next process, and runs of before have no rate of requests that they did not see."""
    path, events = tmp_path / "run.db", served_events()
    half = len(events) // 2
    recorder = Recorder(path, RunInfo(run=RUN, node=NODE, started_ns=T0_NS, version="0", model="m", config={}))
    for seq, event in enumerate(events[:half], 1):
        recorder.record(seq, event)
    await recorder.flush()
    runs = WhatIfs(path)
    async with Aside(WHATIF, WhatIfTask(str(path)), Report) as aside:
        runs.keep(Case("lru"), await found_by(aside, Case("lru")))
        for seq, event in enumerate(events[half:], half + 1):
            recorder.record(seq, event)
        await recorder.flush()
        runs.keep(Case("lfu"), await found_by(aside, Case("lfu")))
    assert runs.missed(Case("lru")) == runs.missed(Case("lfu")) == 0, "what is run together sees the same"
    async with Aside(WHATIF, WhatIfTask(str(path)), Report) as aside:
        runs.keep(Case("lru", 2.0), await found_by(aside, Case("lru", 2.0)))
    await recorder.close()
    assert runs.requests is not None
    assert len(runs.requests.seqs) == len(runs.served(Case("lru"))) == 80
    late = int(runs.requests.seqs[60])
    assert runs.hit_rate(Case("lru"), late) is None
    assert (runs.hit_rate(Case("lru", 2.0), late) or 0) > 0
    assert len(runs.hit_series(Case("lru", 2.0), late, 100)) == 19
    assert runs.hit_series(None, int(runs.requests.seqs[-1]), 5) == []
