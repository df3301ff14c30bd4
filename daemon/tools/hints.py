"""What a server says of its tools: a hint may propose a rule, and a rule that it contradicts does not hold."""

from __future__ import annotations

from typing import Any, cast

from .keeper import Keeper


class Hints:
    """Reads the annotations of listed tools."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._proposed: set[str] = set()

    def listed(self, result: dict[str, Any]) -> None:
        """The server has said which tools it has."""
        tools = result.get("tools")
        for tool in cast("list[Any]", tools) if isinstance(tools, list) else []:
            if isinstance(tool, dict):
                self._learn(cast("dict[str, Any]", tool))

    def _learn(self, tool: dict[str, Any]) -> None:
        name, told = tool.get("name"), tool.get("annotations")
        hints = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        if not isinstance(name, str):
            return
        declared = self._keeper.policy.memory.rules.reader(name) is not None
        if declared and (hints.get("readOnlyHint") is False or hints.get("destructiveHint") is True):
            self._keeper.switch_off(name, "the server says that it changes things (readOnlyHint, destructiveHint)")
        elif not declared and hints.get("readOnlyHint") is True and name not in self._proposed:
            self._proposed.add(name)
            self._keeper.propose(name, "the server says that it only reads (readOnlyHint = true); declare it if so")
