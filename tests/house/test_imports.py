"""What a fresh interpreter has loaded after importing a room: the static import rules, seen at run time."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOAD = """
import importlib, pkgutil, sys
def load(name):
    module = importlib.import_module(name)
    for found in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if found.name not in {leave_out!r} and found.name != "__main__":
            load(name + "." + found.name)
for name in {names!r}:
    load(name)
print(" ".join(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
ENGINE = ("torch", "sglang", "transformers", "triton")
SUPERVISOR = [
    f"radixdeck.daemon.engine.{name}" for name in ("args", "backoff", "launch", "process", "progress", "protocol")
]


def loaded_by(*names: str, leave_out: tuple[str, ...] = ()) -> set[str]:
    """Top-level packages in sys.modules of a fresh interpreter after importing `names` and all below them."""
    program = LOAD.format(names=names, leave_out=leave_out)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_policies_are_the_floor() -> None:
    third_party = loaded_by("radixdeck.policies") & {"aiohttp", "textual", "zmq", "sqlite_utils", "aiomqtt", *ENGINE}
    assert third_party == set()


@pytest.mark.parametrize("room", ["storage", "console", "demos"])
def test_room_runs_without_the_engine(room: str) -> None:
    assert loaded_by(f"radixdeck.{room}") & set(ENGINE) == set()


def test_daemon_runs_without_the_engine_and_the_console() -> None:
    loaded = loaded_by("radixdeck.daemon", leave_out=("engine",))
    assert loaded & {"textual", *ENGINE} == set()


def test_supervisor_is_light() -> None:
    heavy = {"textual", "aiomqtt", "sqlite_utils", "aiohttp", "starlette", "numpy", *ENGINE}
    assert loaded_by(*SUPERVISOR) & heavy == set()


def test_plugin_modules_are_light_before_sglang_asks() -> None:
    entry_points = loaded_by("radixdeck.daemon.engine.cpu", "radixdeck.daemon.engine.plugin")
    assert entry_points & {"torch", "sglang", "textual", "aiomqtt", "sqlite_utils", "aiohttp", "starlette"} == set()
