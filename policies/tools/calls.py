"""Calls of tools on their way through a memory: what is asked, what goes to the tool, what became of its result."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Key = tuple[bytes, int, int]
"""What is asked, and of which state: how often that has changed as a whole and in what this call is about."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `context`: what else may matter for its result, such as what a protocol sends along; `session` does
    not."""

    tool: str
    arguments: Any = None
    agent: str = ""
    session: str = ""
    tenant: str = "default"
    context: Any = None


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A call that goes to its tool. `key`: under which its result may be kept, None if it may not; two tickets of one
    key ask the same of the same state. `expected`: the remembered result it has to agree with. `shared`: whether the
    same call may wait for this one's result. `number`: its own; `arguments`: of a call that changes
    things; `subject`: what one that reads is about, None if that is not known."""

    tool: str
    arguments: Any = None
    number: int = 0
    key: Key | None = None
    began_s: float = 0.0
    ttl_s: float = 0.0
    expected: bytes | None = None
    shared: bool = False
    subject: bytes | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with a call. `value` is the result if there is no ticket, kept under `key`. `took_s`: how long the
    tool took for it; `forgotten`: results that went since this call changes them; `why`: why the tool is asked."""

    ticket: Ticket | None = None
    value: bytes = b""
    key: Key | None = None
    took_s: float = 0.0
    forgotten: int = 0
    why: str = ""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call's result. confirmed: it agreed with the remembered one. off: it did not, and its tool is
    not answered any more. left: nothing was to be kept."""

    what: Literal["stored", "confirmed", "refused", "off", "left"] = "left"
    why: str = ""
    forgotten: int = 0
