"""Textual's style sheets for tests that start the real app some hundreds of times: a text is parsed once, and the rules
for what is styled are looked for once, for all apps. Both depend on nothing but what is in their keys."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from textual.app import App
from textual.css.model import RuleSet
from textual.css.styles import RulesMap
from textual.css.stylesheet import Stylesheet
from textual.css.types import CSSLocation
from textual.dom import DOMNode
from textual.widget import Widget

ABOUT_RULES = ("_has_hover_style", "_has_focus_within", "_has_order_style", "_has_odd_or_even")
"""What Textual notes at a node about the rules that there are for it."""


@contextmanager
def read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", _parsing_once(Stylesheet._parse_rules))
        patch.setattr(Stylesheet, "apply", _matching_once(Stylesheet.apply))
        yield


def _parsing_once(parse: Any) -> Any:
    """Textual keeps what it parsed with the app and only reads it; the same text and variables have the same rules."""
    parsed = dict[Hashable, list[RuleSet]]()

    def once(
        sheet: Stylesheet,
        css: str,
        read_from: CSSLocation,
        is_default_rules: bool = False,
        tie_breaker: int = 0,
        scope: str = "",
    ) -> list[RuleSet]:
        told = (css, read_from, is_default_rules, tie_breaker, scope)
        key = (*told, *sheet._variables.items())
        if key not in parsed:
            parsed[key] = parse(sheet, *told)
        return parsed[key]

    return once


class Matched(NamedTuple):
    rules: RulesMap
    about: tuple[bool, ...]


class Learning(dict[Any, RulesMap]):
    """A cache in which Textual finds nothing, and puts what it may use again: not what depends on a node's place."""

    found: RulesMap | None = None

    def __setitem__(self, _: object, rules: RulesMap) -> None:
        self.found = rules


def _matching_once(apply: Any) -> Any:
    known = dict[Hashable, Matched]()
    numbers = dict[tuple[int, ...], int]()
    numbered = dict[int, tuple[list[RuleSet], int]]()

    def number(rules: list[RuleSet]) -> int:
        """The same for the same rules in the same order; those that were parsed once are there to the end."""
        last = numbered.get(id(rules))
        if last is None or last[0] is not rules:
            last = numbered[id(rules)] = rules, numbers.setdefault(tuple(map(id, rules)), len(numbers))
        return last[1]

    def once(sheet: Stylesheet, node: DOMNode, *, animate: bool = False, cache: Any = None) -> None:
        key = (number(sheet.rules), *map(_seen_by_rules, node.css_path_nodes))
        matched = known.get(key)
        if matched is None:
            learning = Learning()
            apply(sheet, node, animate=animate, cache=learning)
            if learning.found is not None:
                known[key] = Matched(learning.found, tuple(getattr(node, name) for name in ABOUT_RULES))
            return
        for name, value in zip(ABOUT_RULES, matched.about, strict=True):
            setattr(node, name, value)
        sheet.replace_rules(node, matched.rules, animate=animate)
        sheet._process_component_classes(node)

    return once


def _seen_by_rules(node: DOMNode) -> Hashable:
    """All that a selector can ask about a node, but for its place among its siblings."""
    if isinstance(node, Widget):
        state = (node.mouse_hover, node.has_focus, node.is_disabled, node.allow_focus())
    elif isinstance(node, App):
        state = (node.app_focus, node.current_theme.dark, node.is_inline, node.native_ansi_color, node.no_color)
    else:
        state = ()
    return type(node), node._id, node.classes, state
