"""A border title that is set to what it says already: Textual would draw the widget and all that lies in it anew."""

from __future__ import annotations

from typing import Any

from textual.containers import Vertical
from textual.widget import Widget


class _Told:
    """`Widget`'s own attribute of the same name, set only when it changes."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._setting: Any = vars(Widget)[name]
        self._told = f"_told_{name}"

    def __get__(self, obj: Widget | None, owner: type | None = None) -> Any:
        return self._setting.__get__(obj, owner)

    def __set__(self, obj: Widget, title: object) -> None:
        if getattr(obj, self._told, None) != title:
            setattr(obj, self._told, title)
            self._setting.__set__(obj, title)


class SameTitle:
    """To be mixed in before a widget's class."""

    border_title = _Told()
    border_subtitle = _Told()


class Frame(SameTitle, Vertical):
    """Widgets below one another in a border."""
