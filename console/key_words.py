"""How keys are written where somebody reads them: as they are shown, with what a settings file gave in their place."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from textual.binding import Binding

if TYPE_CHECKING:
    from .app import ConsoleApp


def shown(app: ConsoleApp, binding: Binding) -> str:
    """How the key of a binding is written, where a settings file may have given it another one."""
    given = app.settings.keys.get(binding.id or "")
    if not given:
        return app.get_key_display(binding)
    made = Binding.make_bindings([dataclasses.replace(binding, key=given, key_display=None)])
    return " ".join(app.get_key_display(one) for one in made)


def called(app: ConsoleApp, name: str, usual: str) -> str:
    """What a sentence calls the key of something: the usual one, or what the settings give it, as it is shown."""
    return shown(app, Binding(usual, "", id=name)) if app.settings.keys.get(name) else usual
