"""The console's tests start the real app some hundreds of times: its style sheets are parsed once for all of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import pytest
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.css.types import CSSLocation


@pytest.fixture(scope="session", autouse=True)
def _parsed_once() -> Iterator[None]:
    """Textual keeps what it parsed with the app and only reads it; the same text and variables have the same rules."""
    parse, parsed = Stylesheet._parse_rules, dict[Hashable, list[RuleSet]]()

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

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", once)
        yield
