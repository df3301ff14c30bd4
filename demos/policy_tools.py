"""The tools of one drive of a policy's case, as the bench sees them: where they are, what ran, what the proxy said."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from .drive_tools import ToolServer
from .mcp_behind import runs_of_tools, said_by_proxy
from .policy_case import PolicyCase

POLICY = "memoization"
"""Whose rules the proxy has."""
TOLD_S = 1.5
"""A little more than a daemon takes to tell its proxies what is switched off."""


class DriveTools:
    """A folder of the daemon's for a fresh server and proxy, which is a node of its own."""

    def __init__(self, case: PolicyCase, home: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tools-", dir=home))
        self.server = ToolServer(
            folder=str(self._folder), home=home, node=self._folder.name, rules=case.rules[POLICY], tool_s=case.tool_s
        )

    @property
    def runs(self) -> int:
        """How often a tool ran, as the server wrote it down."""
        return runs_of_tools(self._folder)

    @property
    def said(self) -> list[str]:
        """What the proxy told its log."""
        return said_by_proxy(self._folder)


def faults_of(word: str, calls: int, runs: int, said: Sequence[str], wrong: float) -> list[str]:
    """What makes a half's calls doubtful, in words. `word`: off or on."""
    found = [f"{word}: {wrong:g} answers of tools cannot have been so"] if wrong else []
    if word == "off" and runs != calls:
        found.append(f"off: {runs} runs of tools for {calls} calls, though nothing is to be answered from memory")
    return found + [f"{word}: {line}" for line in said if " off: " in line or "does not answer" in line]
