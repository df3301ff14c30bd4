"""What the tests of the real engine share. They are left out where SGLang is not installed (ENGINE=none)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("sglang") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models made on the spot are kept for the whole run of tests."""
    return tmp_path_factory.mktemp("models")
