"""The real engine under supervision: it serves, it is missed when a part of it dies, it comes back, it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
import pytest_asyncio
from processes import alive, gone

from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.launch import Engine, EngineNotReady, EngineStatus
from radixdeck.daemon.engine.protocol import EngineSetup

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
SPEC = EngineSpec(device="cpu", size="tiny", kv_tokens=4096, cache="sglang")
NOTICED_S = 2.0
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
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


class Supervised:
    """An engine with its supervision running. `told`: every status, in order."""

    def __init__(self, spec: EngineSpec, logs: Path, models: Path) -> None:
        self.told: list[EngineStatus] = []
        self.logs = logs
        self._news = asyncio.Event()
        self.engine = Engine(spec, EngineSetup(), "", logs, models, self._note)
        self.task = asyncio.create_task(self.engine.run())

    def _note(self, status: EngineStatus) -> None:
        self.told.append(status)
        self._news.set()

    async def until(self, holds: Callable[[EngineStatus], bool], timeout_s: float = 120) -> EngineStatus:
        async with asyncio.timeout(timeout_s):
            while not holds(self.engine.status):
                self._news.clear()
                await self._news.wait()
        return self.engine.status

    @property
    def family(self) -> dict[str, psutil.Process]:
        """The engine's processes by name."""
        main = psutil.Process(self.engine.status.pid)
        titles = {child.cmdline()[0]: child for child in main.children(recursive=True)}
        return {"main": main, **{name.removeprefix("sglang::"): child for name, child in titles.items()}}

    async def ask(self, **more: Any) -> Any:
        assert self.engine.url
        client = openai.AsyncOpenAI(base_url=f"{self.engine.url}/v1", api_key="none", max_retries=0, timeout=60)
        messages: Any = [{"role": "user", "content": "What is the weather in Rome?"}]
        options: dict[str, Any] = {"model": "any", "messages": messages, "max_tokens": 24, **more}
        return await client.chat.completions.create(**options)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> AsyncGenerator[Supervised]:
    supervised = Supervised(SPEC, tmp_path_factory.mktemp("logs"), model_dir)
    await supervised.engine.wait_ready(120)
    yield supervised
    await supervised.engine.stop()
    await supervised.task


async def test_start_is_told_in_words(running: Supervised) -> None:
    details = [status.detail for status in running.told]
    assert details[:2] == ["preparing", "making the tiny model"]
    assert "importing SGLang" in details
    assert any(detail.startswith("ready in ") for detail in details)
    assert running.engine.status.state == "ready"


async def test_the_baseline_has_the_same_attention(running: Supervised) -> None:
    (log,) = running.logs.glob("*.log")
    assert "new tokens only" in log.read_text(errors="replace")


async def test_chat_depends_on_the_prompt_and_reports_cached_tokens(running: Supervised) -> None:
    first = await running.ask(temperature=0)
    again = await running.ask(temperature=0)
    other = await running.ask(temperature=0, messages=[{"role": "user", "content": "Name a fish."}])
    assert first.choices[0].message.content == again.choices[0].message.content != other.choices[0].message.content
    assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1


async def test_stream_is_the_same_text(running: Supervised) -> None:
    whole = await running.ask(temperature=0)
    chunks = [chunk async for chunk in await running.ask(temperature=0, stream=True)]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content


async def test_required_tool_is_called(running: Supervised) -> None:
    answer = await running.ask(tools=[TOOL], tool_choice="required", max_tokens=200)
    (call, *_) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"


@pytest.mark.parametrize("victim", ["detokenizer", "main"])
async def test_a_killed_process_is_noticed_and_replaced(running: Supervised, victim: str) -> None:
    """The scheduler's turn is in test_daemon, where all that hangs on it is looked at too."""
    await running.until(lambda status: status.state == "ready")
    family = running.family
    restarts = running.engine.status.restarts
    family[victim].send_signal(signal.SIGKILL)
    await running.until(lambda status: status.state != "ready", NOTICED_S)
    assert running.engine.url is None
    lost = await running.until(lambda status: status.retry_in_s > 0)
    assert victim in lost.detail
    await gone(list(family.values()))
    await running.engine.wait_ready(120)
    assert running.engine.status.restarts == restarts + 1
    assert (await running.ask()).usage.completion_tokens > 0


async def test_stop_leaves_nothing(running: Supervised) -> None:
    await running.until(lambda status: status.state == "ready")
    family = list(running.family.values())
    await running.engine.stop()
    assert [process for process in family if alive(process)] == []
    assert running.engine.status.state == "stopped"
    assert running.engine.url is None


async def test_a_model_that_is_not_there_is_named(tmp_path: Path, model_dir: Path) -> None:
    missing = str(tmp_path / "no-such-model")
    supervised = Supervised(EngineSpec(device="cpu", model=missing), tmp_path, model_dir)
    with pytest.raises(EngineNotReady, match=missing):
        await supervised.engine.wait_ready(60)
    assert supervised.engine.status.state == "failed"
    assert supervised.engine.status.retry_in_s > 0
    await supervised.engine.stop()


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
