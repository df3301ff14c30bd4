"""A third party's policies as an installer leaves them: found by their entry points, on the real path."""

from __future__ import annotations

from pathlib import Path

import pytest

from radixdeck.policies import registry


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Put a distribution with these policies, name by module:class, on the path for as long as the test runs."""
    told = folder / "theirs-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", encoding="utf-8")
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (told / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{lines}", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
