"""The real engine under supervision: it is missed when a part of it dies, it comes back. How it ends is
in test_parity, which stops one anyway."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes import gone
from supervised import Supervised

from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.launch import EngineNotReady

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]
NOTICED_S = 2.0
PARENT = """
import asyncio, sys
from pathlib import Path
from radixdeck.daemon.engine.launch import Engine
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.protocol import EngineSetup
spec = EngineSpec(device="cpu", size="tiny", kv_tokens=4096, cache="sglang")
tell = lambda status: print(status.pid or 0, status.detail, flush=True)
engine = Engine(spec, EngineSetup(), "", Path(sys.argv[1]), Path(sys.argv[2]), tell)
asyncio.run(engine.run())
"""


@pytest.mark.parametrize("victim", ["detokenizer", "main"])
async def test_a_killed_process_is_noticed_and_replaced(stock: Supervised, victim: str) -> None:
    """The scheduler's turn is in test_daemon, where all that hangs on it is looked at too."""
    await stock.until(lambda status: status.state == "ready")
    family = stock.family
    restarts = stock.engine.status.restarts
    family[victim].send_signal(signal.SIGKILL)
    await stock.until(lambda status: status.state != "ready", NOTICED_S)
    assert stock.engine.url is None
    lost = await stock.until(lambda status: status.retry_in_s > 0)
    assert victim in lost.detail
    await gone(list(family.values()))
    await stock.engine.wait_ready(120)
    assert stock.engine.status.restarts == restarts + 1
    assert (await stock.ask()).usage.completion_tokens > 0


async def test_a_model_that_is_not_there_is_named(tmp_path: Path, model_dir: Path) -> None:
    missing = str(tmp_path / "no-such-model")
    supervised = Supervised(EngineSpec(device="cpu", model=missing), tmp_path, model_dir)
    with pytest.raises(EngineNotReady, match=missing):
        await supervised.engine.wait_ready(60)
    assert supervised.engine.status.state == "failed"
    assert supervised.engine.status.retry_in_s > 0
    await supervised.close()


async def test_sglangs_own_complaint_is_passed_on(tmp_path: Path, model_dir: Path) -> None:
    bad = EngineSpec(device="cpu", size="tiny", sglang_args=("--page-size", "many"))
    supervised = Supervised(bad, tmp_path, model_dir)
    failed = await supervised.until(lambda status: status.state in {"restarting", "failed"})
    assert "--page-size" in failed.detail
    assert str(tmp_path) in failed.detail
    supervised.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await supervised.task
    assert supervised.engine.status.state == "stopped"
    await supervised.close()


@pytest.fixture
def parent(tmp_path: Path, model_dir: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path, model_dir], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


async def test_the_engine_dies_with_its_supervisor(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout
    for line in parent.stdout:
        if "loaded" in line or "ready" in line:
            break
    engine = psutil.Process(int(line.split()[0]))
    family = [engine, *engine.children(recursive=True)]
    assert len(family) >= 3
    os.kill(parent.pid, signal.SIGKILL)
    await gone(family)
