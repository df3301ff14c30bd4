"""The set-up: pins cover everything, and bad input is answered in words."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^+\s;]+)")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    assert all(found), "constraints.txt: NAME==VERSION only, without local version tags"
    return {normal(match[1]): match[2] for match in found if match}


def required() -> set[str]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    listed += (ROOT / "requirements-engine-cpu.txt").read_text(encoding="utf-8").splitlines()
    names = [re.match(r"[A-Za-z0-9._-]+", line) for line in listed if line and not line.startswith("#")]
    return {normal(name[0]) for name in names if name}


@pytest.fixture
def setup() -> Any:
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "scripts" / "setup.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_asked_for_is_pinned() -> None:
    assert required() - pins().keys() == set()


def test_sglang_has_one_version(setup: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"]["engine"] == [setup.SGLANG]
    assert f"sglang=={pins()['sglang']}" == setup.SGLANG


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ENGINE": "tpu"}, "ENGINE=tpu: must be auto, cuda, cpu or none"),
        ({"PYTHON": "/nowhere/python"}, "/nowhere/python"),
    ],
)
def test_bad_settings_are_named(variables: dict[str, str], said: str) -> None:
    env = {**os.environ, "PYTHON": sys.executable, **variables}
    ran = subprocess.run(["sh", "scripts/setup.sh"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert said in ran.stderr


def test_python_too_old_is_said(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    env = {**os.environ, "PYTHON": str(old)}
    ran = subprocess.run(["sh", "scripts/setup.sh"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "not a Python 3.11 or newer" in ran.stderr


def test_steps_by_engine(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {engine: " ".join(word for _, step in setup.pip_steps(engine, "run") for word in step) for engine in
             ("cpu", "cuda", "none")}  # fmt: skip
    assert "--no-deps sglang" in asked["cpu"]
    assert "[engine" in asked["cuda"]
    assert "sglang" not in asked["none"]
    monkeypatch.setenv("ENGINE", "none")
    assert setup.engine_wanted() == "none"
    assert setup.stamp_key("none") != setup.stamp_key("cpu")


def test_linters_are_added_without_installing_the_package_again(setup: Any) -> None:
    ((_, words),) = setup.pip_steps("cpu", "lint")
    assert {"ruff", "pyright", "import-linter"} <= {re.split(r"[\[>=]", word)[0] for word in words}
    assert "-e" not in words


@pytest.fixture
def aside(setup: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The set-up with a .venv elsewhere, and bytecode that is there at once."""
    for name, value in {"VENV": tmp_path, "PYTHON": Path(sys.executable), "LOG": tmp_path / "log"}.items():
        monkeypatch.setattr(setup, name, value)
    setup.LOG.touch()
    monkeypatch.setattr(setup, "make_venv", lambda: None)
    monkeypatch.setattr(setup.Bytecode, "MAKE", "")
    monkeypatch.setenv("ENGINE", "none")
    return setup


def test_what_is_ready_stays_ready_when_the_next_level_fails(aside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []

    def pip_install(words: str, _: list[str]) -> None:
        installed.append(words)
        aside.LOG.touch()
        if words.startswith("tools") and len(installed) == 2:
            raise aside.SetupError("no such tool")

    monkeypatch.setattr(aside, "pip_install", pip_install)
    with pytest.raises(aside.SetupError):
        aside.set_up(["run", "lint"])
    key = aside.stamp_key("none")
    assert aside.is_there("run", key)
    assert not aside.is_there("lint", key)
    aside.set_up(["run", "lint"])
    assert [words.split()[0] for words in installed] == ["radixdeck,", "tools", "tools"]
    assert aside.is_there("lint", key)


@pytest.mark.parametrize("problem", [OSError, KeyboardInterrupt])
def test_no_bytecode_is_made_any_more_when_a_step_fails(
    aside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: type[BaseException]
) -> None:
    """Not by the processes that the one which was started has started either."""
    begun = tmp_path / "begun"
    wait = "import time; time.sleep(60)"
    monkeypatch.setattr(
        aside.Bytecode, "MAKE",
        "import os, pathlib, subprocess, sys\n"
        f"worker = subprocess.Popen([sys.executable, '-c', {wait!r}])\n"
        f"pathlib.Path({str(tmp_path / 'written')!r}).write_text(str(worker.pid))\n"
        f"os.rename({str(tmp_path / 'written')!r}, {str(begun)!r})\n{wait}",
    )  # fmt: skip

    def pip_install(words: str, _: list[str]) -> None:
        if words == "the second":
            until(begun.exists)
            raise problem

    def pip_steps(_engine: str, _level: str) -> list[tuple[str, list[str]]]:
        return [("the first", []), ("the second", [])]

    monkeypatch.setattr(aside, "pip_install", pip_install)
    monkeypatch.setattr(aside, "pip_steps", pip_steps)
    with pytest.raises(problem):
        aside.set_up(["run"])
    until(lambda: ended(int(begun.read_text())))
    assert not aside.is_there("run", aside.stamp_key("none"))


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_host_of_a_registry_is_written_down() -> None:
    for name in ("constraints.txt", "requirements-engine-cpu.txt", "pyproject.toml", "scripts/setup.py", "Makefile"):
        assert "://" not in (ROOT / name).read_text(encoding="utf-8"), name
