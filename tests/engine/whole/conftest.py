"""One whole daemon on the real engine, nothing replaced, for all tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import openai
import pytest
import pytest_asyncio
from aiohttp import web

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.runtime import Daemon, open_daemon
from whole.stage import NODE, Facts

KV_TOKENS = 8_000
RULES = """
[everybody]
max_output_tokens = 4096
requests_per_minute = 100000
"""


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def slow_engine() -> AsyncGenerator[str]:
    """URL of a second engine, that serves the same model and is never the first to answer."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/v1/models":
            return web.json_response({"object": "list", "data": [{"id": "radixdeck-tiny", "object": "model"}]})
        if request.path == "/abort_request":
            return web.Response()
        await asyncio.sleep(60)
        raise web.HTTPServiceUnavailable

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def daemon(tmp_path_factory: pytest.TempPathFactory, slow_engine: str) -> AsyncGenerator[Daemon]:
    rules = tmp_path_factory.mktemp("rules") / "safety.toml"
    rules.write_text(RULES, encoding="utf-8")
    config = DaemonConfig(
        node=NODE,
        port=0,
        home=str(tmp_path_factory.mktemp("home")),
        engine=EngineSpec(device="cpu", size="tiny", kv_tokens=KV_TOKENS, replicas=(slow_engine,)),
        policy=PolicySection(enabled=["kv_caching"], rules={"safety": str(rules)}),
    )
    async with open_daemon(config) as running:
        await running.engine.wait_ready(180)
        yield running


@pytest.fixture(scope="package")
def facts(daemon: Daemon) -> Facts:
    return Facts(daemon.journal)


@pytest_asyncio.fixture(loop_scope="package")
async def client(daemon: Daemon) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made
