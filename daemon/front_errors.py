"""What the front answers when it answers itself: one shape that the OpenAI and the Anthropic clients both read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from radixdeck.policies.doorkeeping import shortened
from radixdeck.policies.events import RequestRefused
from radixdeck.policies.identity.declared import IdentityError, TenantMismatch

MAX_REASON = 500
"""So much of why a request was refused is kept and published, characters: some of it may be what a caller wrote."""

T = TypeVar("T")


class FrontError(RuntimeError):
    """The front cannot listen, or cannot do what it was told. The message is for a human."""


class Refusal(Exception):
    """A request that the front answers with an error. `kind`: the error's `type`; `param`: the field at fault;
    `retry_in_s`: set if the same request may succeed later; `by`: the policy that refuses request `rid`."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str,
        *,
        param: str | None = None,
        retry_in_s: float | None = None,
        by: str = "",
        rid: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.retry_in_s = retry_in_s
        self.by, self.rid = by, rid

    def body(self) -> bytes:
        """`{"type": "error", "error": {"message", "type", "param", "code"}}`, and "retryable" where it applies."""
        error: dict[str, object] = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.status,
        }
        if self.retry_in_s is not None:
            error["retryable"] = True
        return msgspec.json.encode({"type": "error", "error": error})

    def response(self) -> web.Response:
        response = web.Response(status=self.status, body=self.body(), content_type="application/json")
        if self.retry_in_s is not None:
            response.headers["Retry-After"] = str(max(1, math.ceil(self.retry_in_s)))
        if self.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def fact(self, t_ns: int, agent: str) -> RequestRefused:
        """The event that says so."""
        reason = shortened(self.message, MAX_REASON)
        return RequestRefused(t_ns=t_ns, rid=self.rid, agent=agent, status=self.status, reason=reason, by=self.by)

    def event(self) -> bytes:
        """The same as a server-sent event, for a stream that has already begun."""
        return b"event: error\ndata: " + self.body() + b"\n\n"


def bad_request(message: str, param: str | None = None) -> Refusal:
    return Refusal(400, message, "invalid_request_error", param=param)


def engine_away(reason: str, retry_in_s: float) -> Refusal:
    return Refusal(503, f"the engine is not available: {reason}", "engine_unavailable", retry_in_s=retry_in_s)


def engine_lost(reason: str, retry_in_s: float) -> Refusal:
    message = f"the engine was lost while it answered; the same request can be sent again ({reason})"
    return Refusal(502, message, "engine_unavailable", retry_in_s=retry_in_s)


def engine_ended(reason: str) -> Refusal:
    """Nobody knows which of the requests that it had was why, if one was."""
    message = f"the engine ended while it had this request, which may be the cause ({reason})"
    return Refusal(502, message, "engine_unavailable")


def unreadable(path: str, by: str) -> Refusal:
    """For what policy `by` would have to judge and cannot."""
    why = f"policy {by} cannot hold its rules on {path}, which the front does not read"
    instead = "ask on /v1/chat/completions, /v1/completions, /v1/messages, /v1/responses or /generate"
    return Refusal(403, f"{why}: {instead}", "policy_refused", by=by)


def named(identified: Callable[[], T]) -> T:
    """Call something that works out who asks; an IdentityError becomes a Refusal, 403 for the wrong tenant else 400."""
    try:
        return identified()
    except TenantMismatch as error:
        raise Refusal(403, str(error), "permission_error") from error
    except IdentityError as error:
        raise bad_request(str(error)) from error
