"""The set-up: pins cover everything, and bad input is answered in words."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

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


def test_no_host_of_a_registry_is_written_down() -> None:
    for name in ("constraints.txt", "requirements-engine-cpu.txt", "pyproject.toml", "scripts/setup.py", "Makefile"):
        assert "://" not in (ROOT / name).read_text(encoding="utf-8"), name
