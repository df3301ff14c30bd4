"""What the tests of the real engine share. They are left out where SGLang is not installed (ENGINE=none)."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from supervised import SPEC, Supervised

if importlib.util.find_spec("sglang") is None:
    collect_ignore_glob = ["test_*.py", "whole"]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models made on the spot are kept for the whole run of tests."""
    return tmp_path_factory.mktemp("models")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stock(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> AsyncGenerator[Supervised]:
    """SGLang's own engine. Whatever a test does to it, it serves again when the test is over."""
    supervised = Supervised(SPEC, tmp_path_factory.mktemp("stock"), model_dir)
    await supervised.engine.wait_ready(120)
    yield supervised
    await supervised.close()
