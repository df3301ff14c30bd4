"""How keys are written where somebody reads them: as they are shown, with what a settings file gave in their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from textual.app import App
from textual.binding import Binding


def shown(app: App[Any], binding: Binding, keys: Mapping[str, str]) -> str:
    """How the key of a binding is written, where a settings file may have given it another one."""
    given = keys.get(binding.id or "")
    if not given:
        return app.get_key_display(binding)
    made = Binding.make_bindings([dataclasses.replace(binding, key=given, key_display=None)])
    return " ".join(app.get_key_display(one) for one in made)
