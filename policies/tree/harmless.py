"""Methods that must not disturb the scheduler: an exception breaks their object instead of reaching SGLang."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Breakable(Protocol):
    """`broken`: nothing of it runs any more. `report_failure` never raises."""

    broken: bool

    def report_failure(self, call: str, error: Exception) -> None: ...


B = TypeVar("B", bound=Breakable)


def harmless(method: Callable[Concatenate[B, P], R]) -> Callable[Concatenate[B, P], R | None]:
    """Run a method unless its object is broken; an exception breaks it."""

    @functools.wraps(method)
    def guarded(self: B, *args: P.args, **kwargs: P.kwargs) -> R | None:
        if self.broken:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.broken = True
            self.report_failure(method.__name__, error)
            return None

    return guarded
