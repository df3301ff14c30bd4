"""The rules of the memoization policy: a TOML file, checked key by key.

strict = true                        # a tool that is named nowhere here changes everything (the default)
serial = true                        # no call is made early while another is under way (the default)

[tools.read_file]
read_only = true                     # without this no result is ever answered from memory
ttl_s = 60                           # for so long the same call gives the same result, unless something changed it
scope = "tenant"                     # whose calls may share it: agent (the default), tenant, all
ignore = ["reason"]                  # arguments that have no part in the result
invalidated_by = ["write_*"]         # what changes it, shell patterns; unsaid: every tool that is not read-only
per = "path"                         # those change only what has their own path; for names with one spelling only
speculate = true                     # a call of it that will likely come may be made before it comes (early_calls)
cost_s = 0.5                         # what such a call in vain costs, in seconds of waiting; unsaid: what it takes

[tools.start_build]
settle_s = 30                        # what it changes goes on changing for so long after it returned
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, cast

import msgspec

from ..door.rules_text import read_toml, table_as, wrong

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=30 * 86_400)]
_Cost = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
_Names = list[Annotated[str, msgspec.Meta(min_length=1)]]
EVERYTHING = "*"
_OF_READERS = ("ttl_s", "scope", "ignore", "invalidated_by", "per", "speculate", "cost_s")
_KEYS = ("strict", "serial", "tools")


class ToolRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is declared of one tool; see the module. None: not said."""

    read_only: bool = False
    ttl_s: _Seconds | None = None
    scope: Literal["agent", "tenant", "all"] | None = None
    ignore: _Names | None = None
    invalidated_by: _Names | None = None
    per: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    settle_s: _Seconds | None = None
    speculate: bool | None = None
    cost_s: _Cost | None = None

    @property
    def patterns(self) -> list[str]:
        """What changes its results."""
        return [EVERYTHING] if self.invalidated_by is None else self.invalidated_by


class MemoRules(msgspec.Struct, frozen=True, kw_only=True):
    """All that is declared."""

    strict: bool = True
    serial: bool = True
    tools: dict[str, ToolRule] = {}

    @property
    def speculates(self) -> bool:
        """Whether any tool may be called early."""
        return any(rule.speculate for rule in self.tools.values())

    def reader(self, tool: str) -> ToolRule | None:
        """The rule of a tool that is declared read-only, None of any other."""
        rule = self.tools.get(tool)
        return rule if rule is not None and rule.read_only else None

    def changed_by(self, tool: str) -> list[str]:
        """The read-only tools whose results a call of `tool` changes, as far as is declared and, if `strict`, known."""
        if self.reader(tool) is not None:
            return []
        readers = [name for name, rule in self.tools.items() if rule.read_only]
        if self.strict and not self._named(tool):
            return readers
        return [name for name in readers if any(fnmatchcase(tool, pattern) for pattern in self.tools[name].patterns)]

    def per(self, reader: str, writer: str) -> str | None:
        """The argument that two calls have in common if the one changes what the other says, None if it always does."""
        rule = self.tools[reader]
        named = any(fnmatchcase(writer, pattern) for pattern in rule.patterns if pattern != EVERYTHING)
        return rule.per if named else None

    def settle_s(self, tool: str) -> float:
        rule = self.tools.get(tool)
        return (rule.settle_s or 0.0) if rule is not None else 0.0

    def _named(self, tool: str) -> bool:
        """Whether the rules say anything about it: a table of its own, or a pattern that is not for everything."""
        patterns = (pattern for rule in self.tools.values() for pattern in rule.patterns if pattern != EVERYTHING)
        return tool in self.tools or any(fnmatchcase(tool, pattern) for pattern in patterns)


def read_memo_rules(text: str) -> MemoRules:
    """The rules in a TOML text. Raises RulesError naming key and line."""
    told = read_toml(text)
    for name in told:
        if name not in _KEYS:
            raise wrong(text, [name], f"unknown key; known: {', '.join(_KEYS)}")
    strict, serial, tables = told.get("strict", True), told.get("serial", True), told.get("tools", {})
    for name, value in (("strict", strict), ("serial", serial)):
        if not isinstance(value, bool):
            raise wrong(text, [name], "must be true or false")
    if not isinstance(tables, dict):
        raise wrong(text, ["tools"], "must be tables [tools.<name>]")
    rules = {
        name: table_as(text, ["tools", name], table, ToolRule) for name, table in cast("dict[str, Any]", tables).items()
    }
    for path, what in _contradictions(rules):
        raise wrong(text, path, what)
    return MemoRules(strict=strict, serial=serial, tools=rules)


def _of_the_other_kind(rule: ToolRule) -> Iterator[tuple[list[str], str]]:
    """What a tool that reads has to have, or must not, and what only such a tool may have."""
    if rule.read_only and rule.ttl_s is None:
        yield [], "a read-only tool needs ttl_s: for how long the same call gives the same result"
    if rule.read_only and rule.settle_s is not None:
        yield ["settle_s"], "is for tools that change things, and this one is read-only"
    for key in _OF_READERS:
        if not rule.read_only and getattr(rule, key) is not None:
            yield [key], "has no meaning without read_only = true"


def _contradictions(rules: dict[str, ToolRule]) -> Iterator[tuple[list[str], str]]:
    """What is well-formed but cannot be meant, as (path, words)."""
    for name, rule in rules.items():
        path = ["tools", name]
        for key, what in _of_the_other_kind(rule):
            yield [*path, *key], what
        if rule.per is not None and not rule.invalidated_by:
            yield [*path, "per"], "has no meaning without invalidated_by, whose tools it is about"
        if rule.per is not None and rule.per in (rule.ignore or ()):
            yield [*path, "per"], f"{rule.per!r} cannot be ignored as well"
        if rule.cost_s is not None and not rule.speculate:
            yield [*path, "cost_s"], "has no meaning without speculate = true"
        for other in rule.invalidated_by or ():
            if other in rules and rules[other].read_only:
                yield [*path, "invalidated_by"], f"names {other!r}, which is declared read-only"
