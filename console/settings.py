"""The console's own settings, a small TOML file: theme, keys, read-only. What is wrong in it is named, never ignored.

theme = "deck-contrast"
read_only = true

[keys]
"act.evict" = "ctrl+e"
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import platformdirs
from textual.binding import Binding

FILE = "console.toml"


class SettingsError(ValueError):
    """A settings file cannot be used. The message names the file and what in it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`theme`: a name, '' for the default. `keys`: by the name of what they do, in place of the keys that it has."""

    theme: str = ""
    read_only: bool = False
    keys: dict[str, str] = {}


def settings_path() -> Path:
    """Where this user's settings are looked for."""
    return Path(platformdirs.user_config_dir("radixdeck")) / FILE


def load(path: Path | None = None) -> Settings:
    """The settings of a file, or of the user's where none is named; defaults if that is not there. Raises
    SettingsError."""
    wanted = path or settings_path()
    try:
        told = tomllib.loads(wanted.read_text(encoding="utf-8"))
        return msgspec.convert(told, Settings)
    except FileNotFoundError:
        if path is None:
            return Settings()
        raise SettingsError(f"{wanted}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"{wanted}: {error}") from error


def check_keys(keys: Mapping[str, str], bindings: Iterable[Binding]) -> dict[str, str]:
    """The keys that are asked for, if every one is of something known and none would do two things. Raises
    SettingsError."""
    known = {binding.id: binding for binding in bindings if binding.id}
    for name in keys:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise SettingsError(f"keys: nothing is called {name!r}; {hint}")
    taken: dict[str, str] = {}
    for name, binding in known.items():
        for key in keys.get(name, binding.key).split(","):
            if not key.strip():
                raise SettingsError(f"keys: {name!r} has an empty key")
            other = taken.setdefault(key.strip(), name)
            if other != name and (name in keys or other in keys):
                raise SettingsError(f"keys: {key.strip()!r} would be both {other!r} and {name!r}")
    return dict(keys)
