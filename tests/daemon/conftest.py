"""The daemon's parts are tested on the event loop that it runs on; a fixture for its logging."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop


@pytest.fixture
def daemon_log() -> Iterator[None]:
    """The daemon's own logging, undone afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in before[0]:
            handler.close()
    root.handlers[:], root.level = before[0], before[1]


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Callable[[], uvloop.Loop]]:
    return {"uvloop": uvloop.new_event_loop}
