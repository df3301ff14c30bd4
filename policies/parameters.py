"""A tunable, declared once and rendered everywhere: config file, MQTT command, console slider, docs."""

from __future__ import annotations

import math

import msgspec


class TunableError(ValueError):
    """A value is not allowed for a tunable, or the tunable does not exist. The message names it and its bounds."""


class Tunable(msgspec.Struct, frozen=True):
    """One number an operator may change while it runs. `low` and `high` are inclusive bounds in `unit`."""

    name: str
    default: float
    low: float
    high: float
    unit: str
    doc: str

    def check(self, value: float) -> float:
        """The value itself if it lies within the bounds. Raises TunableError otherwise."""
        if not math.isfinite(value) or not self.low <= value <= self.high:
            raise TunableError(f"{self.name}: {value:g} is outside {self.low:g} to {self.high:g} {self.unit}".rstrip())
        return value


class Tunables:
    """The present values of a policy's tunables; reading an unknown name raises TunableError."""

    def __init__(self, declared: tuple[Tunable, ...]) -> None:
        self.declared = {tunable.name: tunable for tunable in declared}
        self._values = {tunable.name: tunable.default for tunable in declared}

    def __getitem__(self, name: str) -> float:
        value = self._values.get(name)
        return self._values[self._known(name)] if value is None else value

    def set(self, name: str, value: float) -> None:
        """Change one value. Raises TunableError if the name is unknown or the value out of bounds."""
        self._values[name] = self.declared[self._known(name)].check(value)

    def as_dict(self) -> dict[str, float]:
        return dict(self._values)

    def _known(self, name: str) -> str:
        if name not in self.declared:
            raise TunableError(f"no tunable named {name!r}; known: {', '.join(sorted(self.declared)) or 'none'}")
        return name
