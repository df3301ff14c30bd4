"""The pictures of the docs come from a recording, at the moments that they say, and from nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from scenario import run_events
from staging import recorded

SCRIPT = Path(__file__).parents[2] / "scripts" / "screenshots.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("screenshots", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_console_is_drawn_from_a_recording(tmp_path: Path, script: ModuleType) -> None:
    session = await recorded(tmp_path / "run.db", run_events())
    at_ns = script.moments(session)
    assert session.first_ns <= at_ns["before"] <= at_ns["end"] == session.last_ns
    assert session.first_ns < at_ns["switched"] < session.last_ns
    session.close()
    (made,) = await script.shoot(script.SETS["console"], tmp_path / "run.db", tmp_path)
    picture = made.read_text(encoding="utf-8").replace("&#160;", " ")
    assert made == tmp_path / "console.svg"
    assert "KV pool" in picture
    assert "planner" in picture


def test_every_picture_of_the_docs_is_one_that_the_script_draws(script: ModuleType) -> None:
    drawn = {f"{shot.name}.svg" for shots in script.SETS.values() for shot in shots}
    assert {path.name for path in (SCRIPT.parents[1] / "docs").glob("*.svg")} == drawn
