"""Fixtures that more than one room uses, and what the workers of a shared run (`-n 3`, as in `make test`) each take.

Three of them for two cores: tests wait for engines, timers and sockets, and then another one has the core."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest
from brokers import broker, broker_kind

__all__ = ["broker", "broker_kind"]

FIRST = ("engine", "sglang")
"""What takes longest comes first, so that no worker waits for it at the end."""


@pytest.fixture
def clock_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Called with seconds: the wall clock is set forward by so much, as psutil sees it: the time of the boot, by which
    it tells when a process began, moves along."""
    if sys.platform != "linux":
        pytest.skip("there is no such number elsewhere")
    from psutil import _pslinux

    real = _pslinux.boot_time
    return lambda seconds: monkeypatch.setattr(_pslinux, "boot_time", lambda: real() + seconds)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("loadgroup", False):
        return
    for item in items:
        if group := shared_worker(item):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: FIRST.index(group) if (group := shared_worker(item)) else len(FIRST))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is imported by now stays to the end: the garbage collector need not look through it again and again, and
    what a test leaves behind is little."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def shared_worker(item: pytest.Item) -> str:
    """`engine`: boots the real engine, one after the other. `sglang`: imports SGLang, which takes ten seconds once."""
    folder, name = item.path.parent.name, item.path.name
    if folder == "engine_unit" or name in ("test_cpu.py", "test_lru_against_sglang.py"):
        return "sglang"
    return "engine" if item.get_closest_marker("engine") else ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Any other file stays whole, for its fixtures."""
    from xdist.scheduler import LoadGroupScheduling

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return super()._split_scope(nodeid).split("::")[0]

    return ByFile(config, log)
