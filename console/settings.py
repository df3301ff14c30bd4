"""The console's own settings, a small TOML file: theme, keys, read-only. What is wrong in it is named, never ignored.

theme = "deck-contrast"
read_only = true

[keys]
"act.evict" = "ctrl+e"
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import platformdirs

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
