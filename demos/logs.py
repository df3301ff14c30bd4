"""Reads real multi-agent conversations into turns: the Who&When format of Agents_Failure_Attribution.

A file is a JSON object with `history`, a list of steps with `content`, `role` and perhaps `name`, and perhaps
`system_prompt`, a text per agent. Where a step has no `name` (Magentic-One) its `role` names the agent, such as
'Orchestrator (-> WebSurfer)'. Each step of an agent becomes the request that could have produced it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from .workloads import Message, Turn, WorkloadError

PEOPLE = ("human", "user")
CONTEXT_CHARS = 12_000
"""About 3,500 tokens: what a small KV pool can hold of one conversation. Longer steps and transcripts are cut."""


class _Step(msgspec.Struct, frozen=True):
    content: str
    role: str
    name: str = ""

    @property
    def speaker(self) -> str:
        return self.name or self.role.split(" (")[0].strip()


class _Log(msgspec.Struct, frozen=True):
    history: list[_Step]
    question: str = ""
    system_prompt: dict[str, str] = {}


def read_log(path: Path, *, max_tokens: int = 8, context_chars: int = CONTEXT_CHARS) -> list[Turn]:
    """The turns of one conversation. Raises WorkloadError naming the file and the field that is wrong."""
    try:
        log = msgspec.json.decode(path.read_bytes(), type=_Log)
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: {error}") from error
    if not log.history:
        raise WorkloadError(f"{path}: history is empty - at `$.history`")
    turns = list(_turns(log, path.stem, max_tokens, context_chars))
    if not turns:
        raise WorkloadError(f"{path}: no step of an agent in `$.history`")
    return turns


def _turns(log: _Log, session: str, max_tokens: int, context_chars: int) -> Iterator[Turn]:
    said: list[_Step] = []
    if log.question and log.history[0].speaker.lower() not in PEOPLE:
        said.append(_Step(log.question, "human"))
    for step in log.history:
        if said and step.speaker.lower() not in PEOPLE:
            messages = _messages(step.speaker, log.system_prompt.get(step.speaker, ""), said, context_chars)
            yield Turn(
                session=session, agent=step.speaker, messages=messages, max_tokens=max_tokens, answer=step.content
            )
        said.append(step)


def _messages(agent: str, system: str, said: list[_Step], context_chars: int) -> list[Message]:
    """The transcript as `agent` sees it, its own steps as the assistant's.

    Where it would overflow, the task and the latest steps stay, as buffered chat memories do it; no step takes more
    than a quarter of the context.
    """
    system = system[: context_chars // 2]
    shown = [_shown(agent, step, context_chars // 4) for step in said]
    room = context_chars - len(system) - len(shown[0]["content"])
    latest: list[Message] = []
    for message in reversed(shown[1:]):
        room -= len(message["content"])
        if room < 0:
            break
        latest.append(message)
    head: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*head, shown[0], *reversed(latest)]


def _shown(agent: str, step: _Step, limit: int) -> Message:
    if step.speaker == agent:
        return {"role": "assistant", "content": step.content[:limit]}
    return {"role": "user", "content": f"{step.speaker}: {step.content}"[:limit]}


def read_logs(path: Path, complain: Callable[[str], None], *, live: int = 4) -> list[Turn]:
    """The turns of a file, or of every *.json under a folder, `live` conversations interleaved at a time.

    A bad file is complained about and left out. Raises WorkloadError if nothing could be read at all.
    """
    if not path.exists():
        raise WorkloadError(f"{path}: no such file or folder")
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    talks: list[list[Turn]] = []
    for file in files:
        try:
            talks.append(_renamed(read_log(file), f"{file.parent.name}-{file.stem}"))
        except WorkloadError as error:
            complain(str(error))
    if not talks:
        raise WorkloadError(f"{path}: no conversation could be read ({len(files)} files)")
    return list(interleave(talks, live))


def _renamed(turns: list[Turn], session: str) -> list[Turn]:
    return [msgspec.structs.replace(turn, session=session) for turn in turns]


def interleave(talks: list[list[Turn]], live: int) -> Iterator[Turn]:
    """One turn of each of `live` conversations in rotation; a finished one makes room for the next."""
    waiting = deque(deque(talk) for talk in talks if talk)
    under_way = deque(waiting.popleft() for _ in range(min(live, len(waiting))))
    while under_way:
        talk = under_way.popleft()
        yield talk.popleft()
        if talk:
            under_way.append(talk)
        elif waiting:
            under_way.append(waiting.popleft())
