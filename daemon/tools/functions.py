"""A function that is a tool: its arguments by name, and a call of it that nobody has made, on a thread or in the event
loop. Such a call is told to nobody: neither what it returns nor what it raises."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

_tasks: set[asyncio.Task[None]] = set()
"""The event loop keeps no task by itself."""


class Flight(AbstractContextManager[Any], Protocol):
    """A call while the function runs; its end is the end of the block. `ended`: that is over."""

    value: Any
    ended: bool


class Function:
    """`waits`: it is a coroutine function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.waits = inspect.iscoroutinefunction(function)
        self._function, self._signature = function, inspect.signature(function)

    def arguments(self, *given: Any, **named: Any) -> dict[str, Any]:
        """Arguments by name; extra positional ones are a list, extra named ones an object."""
        bound = self._signature.bind(*given, **named)
        bound.apply_defaults()
        return {name: list(value) if self._is_list(name) else value for name, value in bound.arguments.items()}

    def start(self, arguments: dict[str, Any], flight: Flight) -> None:
        """Call it, though nobody does, with such arguments."""
        told = {name: tuple(value) if self._is_list(name) else value for name, value in arguments.items()}
        bound = inspect.BoundArguments(self._signature, told)  # type: ignore[arg-type]
        if self.waits:
            task = asyncio.get_running_loop().create_task(self._awaited(bound, flight))
            _tasks.add(task)
            task.add_done_callback(lambda task: _left(task, flight))
            return
        context = contextvars.copy_context()
        try:
            threading.Thread(target=context.run, args=(self._called, bound, flight), daemon=True).start()
        except RuntimeError:  # no more threads
            with suppress(RuntimeError), flight:
                raise

    def _called(self, bound: inspect.BoundArguments, flight: Flight) -> None:
        with suppress(Exception), flight:
            flight.value = self._function(*bound.args, **bound.kwargs)

    async def _awaited(self, bound: inspect.BoundArguments, flight: Flight) -> None:
        with suppress(Exception), flight:
            flight.value = await self._function(*bound.args, **bound.kwargs)

    def _is_list(self, name: str) -> bool:
        return self._signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL


def _left(task: asyncio.Task[None], flight: Flight) -> None:
    """A task that is cancelled before its first step never comes to the flight."""
    _tasks.discard(task)
    if not flight.ended:
        with suppress(asyncio.CancelledError), flight:
            raise asyncio.CancelledError


def can_run(function: Function | None) -> bool:
    """Whether it can be started here and now: a coroutine function needs a loop that runs."""
    if function is None or not function.waits:
        return function is not None
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
