"""Files stay readable in one sitting and functions on one screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
ROOMS = ("policies", "storage", "daemon", "console", "demos")
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_MEDIAN_LINES = 300, 50, 10


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function of a file as (file:name, lines from its `def` to its end)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield f"{path.relative_to(ROOT)}:{node.name}", node.end_lineno - node.lineno + 1


def reason(path: Path) -> bool:
    """Whether a file says at its top why it is longer than it should be."""
    return "Over 300 lines because" in (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*ROOMS, "tests", "scripts")}
    assert len(lengths) > 50
    long = {path: n for path, n in lengths.items() if n > MAX_FILE_LINES}
    assert {str(path.relative_to(ROOT)): n for path, n in long.items() if not reason(path)} == {}


def test_functions_are_short() -> None:
    lengths = [length for path in sources(*ROOMS, "scripts") for length in functions(path)]
    assert {name: n for name, n in lengths if n > MAX_FUNCTION_LINES} == {}
    assert median(n for _, n in lengths) <= MAX_MEDIAN_LINES


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources(*ROOMS, "scripts")
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
