"""The engine lives on the daemon's clock, whatever became of the wall clock between their starts."""

from __future__ import annotations

import importlib.util
import time
from types import ModuleType

import pytest

from radixdeck.daemon import clock
from radixdeck.daemon.actions import expires_ns
from radixdeck.daemon.clock import ENV_ANCHOR
from radixdeck.daemon.engine import args
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.protocol import EngineSetup
from radixdeck.daemon.link import ORDER_TIMEOUT_S

HOUR_NS = 3_600_000_000_000


def in_a_new_process() -> ModuleType:
    """The clock as a process that starts now would have it."""
    spec = importlib.util.find_spec(clock.__name__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def step_wall_clock(patch: pytest.MonkeyPatch, by_ns: int) -> None:
    real = time.time_ns
    patch.setattr(time, "time_ns", lambda: real() + by_ns)


@pytest.mark.parametrize("by_ns", [8 * HOUR_NS, -HOUR_NS])
def test_an_engine_that_starts_after_a_step_still_takes_orders(monkeypatch: pytest.MonkeyPatch, by_ns: int) -> None:
    env = args.environment(EngineSpec(device="cpu"), EngineSetup(), "ipc:///x")
    step_wall_clock(monkeypatch, by_ns)
    monkeypatch.setenv(ENV_ANCHOR, env[ENV_ANCHOR])
    engine = in_a_new_process()
    assert 0 < expires_ns() - engine.now_ns() <= ORDER_TIMEOUT_S * 1e9
    assert clock.now_ns() <= engine.now_ns() <= clock.now_ns()


def test_a_process_that_is_told_nothing_takes_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_ANCHOR, raising=False)
    step_wall_clock(monkeypatch, HOUR_NS)
    assert abs(in_a_new_process().now_ns() - time.time_ns()) < 1e9


@pytest.mark.parametrize(
    "told", ["soon", "1e18", " 17", "-1", "9" * 19, "9" * 5_000, "-" + "9" * 18, "\u0661\u0667", "17\n"]
)  # fmt: skip
def test_an_anchor_that_is_no_time_is_ignored_in_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    monkeypatch.setattr(time, "monotonic_ns", lambda: 0)
    monkeypatch.setenv(ENV_ANCHOR, told)
    assert abs(in_a_new_process().now_ns() - time.time_ns()) < 1e9
    assert f"{ENV_ANCHOR}={told[:40]}" in caplog.text
    assert "9" * 41 not in caplog.text
