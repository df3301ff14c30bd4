"""A process beside the console for what would hold up its keys: started when wanted, asked in turn, gone with it.

A thread would not do: it holds the interpreter's lock for milliseconds on end, and every key waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
from typing import Generic, Self, TypeVar

import msgspec

LENGTH_BYTES = 4
NICENESS = 5
"""Behind the console and the engine wherever they want a core too."""
QUESTIONS, REPORTS = 0, 1
"""Standard input and output of the child."""

Answer = TypeVar("Answer")
Question = TypeVar("Question")


class AsideError(RuntimeError):
    """The process ended, or never began. The message is for people."""


class Aside(Generic[Answer]):
    """One child that runs `module` with `task` as its argument, and sends messages of `kind`: at most what fits its
    pipe before somebody reads. An asynchronous context manager: at the end the child is killed, whatever it is at."""

    def __init__(self, module: str, task: msgspec.Struct, kind: type[Answer]) -> None:
        self._command = [sys.executable, "-m", module, msgspec.json.encode(task).decode()]
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Raises AsideError."""
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        begun = asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=nothing)
        beginning = asyncio.ensure_future(begun)
        try:
            self._child = await asyncio.shield(beginning)
        except OSError as error:
            raise AsideError(f"no process of its own could be started for it: {error}") from error
        except asyncio.CancelledError:
            # Half begun it could not be ended.
            self._child = await beginning
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        child = self._child
        if child is not None:
            assert child.stdin is not None
            child.stdin.close()
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            # What it said last is read too, or its pipe would outlive the loop.
            await child.communicate()

    @property
    def pid(self) -> int:
        return self._begun().pid

    async def ask(self, question: object) -> Answer:
        """The first thing that it says to a question. Raises AsideError."""
        pipe = self._begun().stdin
        assert pipe is not None
        # If it has ended, how is said where it is read from.
        with contextlib.suppress(OSError):
            pipe.write(_framed(question))
            await pipe.drain()
        return await self.next()

    async def next(self) -> Answer:
        """What it says next. Raises AsideError."""
        child = self._begun()
        assert child.stdout is not None
        try:
            length = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES), "big")
            return self._decoder.decode(await child.stdout.readexactly(length))
        except asyncio.IncompleteReadError as error:
            raise AsideError(f"the process that works this out ended with {await child.wait()}") from error
        except msgspec.DecodeError as error:
            raise AsideError(f"the process that works this out says what is no answer: {error}") from error

    def _begun(self) -> asyncio.subprocess.Process:
        assert self._child is not None, "to be used as a context manager"
        return self._child


class Asker:
    """The console, as its child sees it. Whatever prints here prints into the void, not between the messages."""

    def __init__(self) -> None:
        self._reports = os.fdopen(os.dup(REPORTS), "wb")
        os.dup2(sys.stderr.fileno(), REPORTS)
        # Control and C in the terminal is meant for the console.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.nice(NICENESS)

    def question(self, kind: type[Question]) -> Question | None:
        """The next one, waited for; None once the console is gone."""
        length = self._read(LENGTH_BYTES)
        told = self._read(int.from_bytes(length, "big")) if length else b""
        return msgspec.msgpack.decode(told, type=kind) if told else None

    @property
    def gone(self) -> bool:
        """Whether the console has ended, or asks something else."""
        return bool(select.select([QUESTIONS], [], [], 0)[0])

    def tell(self, message: msgspec.Struct) -> None:
        """Blocks while the console does not read. Raises BrokenPipeError once it is gone."""
        self._reports.write(_framed(message))
        self._reports.flush()

    def _read(self, number: int) -> bytes:
        """So many bytes, none if there are not as many."""
        told = b""
        while len(told) < number and (more := os.read(QUESTIONS, number - len(told))):
            told += more
        return told if len(told) == number else b""


def _framed(message: object) -> bytes:
    """A message with its length before it."""
    told = msgspec.msgpack.encode(message)
    return len(told).to_bytes(LENGTH_BYTES, "big") + told
