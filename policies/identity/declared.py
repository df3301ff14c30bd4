"""What a caller says about itself: agent, session and tenant, from headers, body fields and OpenTelemetry baggage.

Our own headers are checked strictly, because whoever sets them means us. Body fields and baggage exist for other
purposes too, so a value there that cannot serve as a name is replaced by its hash and never refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

MAX_NAME = 128
DEFAULT_TENANT = "default"
TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class IdentityError(ValueError):
    """A caller named itself in a way that cannot be used. The message names the header."""


class TenantMismatch(IdentityError):
    """The caller names a tenant that its API key does not belong to."""


def checked_name(name: str, where: str) -> str:
    """`name` without surrounding blanks. Raises IdentityError naming `where` if it is empty, long or unprintable."""
    name = name.strip()
    if not name:
        raise IdentityError(f"{where} is empty")
    if len(name) > MAX_NAME:
        raise IdentityError(f"{where} has {len(name)} characters; at most {MAX_NAME} are allowed")
    if not name.isprintable():
        raise IdentityError(f"{where} has control or unprintable characters")
    return name


def tamed_name(value: Any) -> str:
    """A name from a field that is not ours: as it is if it can be one, else its hash; '' if there is nothing in it."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value).strip()
    if not text or (len(text) <= MAX_NAME and text.isprintable()):
        return text
    return "h-" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def declared_agent(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """x-agent-id, else metadata.agent_id, else baggage gen_ai.agent.id or gen_ai.agent.name; '' if none.

    Raises IdentityError if x-agent-id is unusable.
    """
    if "x-agent-id" in headers:
        return checked_name(headers["x-agent-id"], "header x-agent-id")
    if name := tamed_name(_metadata(body).get("agent_id")):
        return name
    baggage = dict(_baggage(headers.get("baggage", "")))
    return tamed_name(baggage.get("gen_ai.agent.id")) or tamed_name(baggage.get("gen_ai.agent.name"))


def declared_end(headers: Mapping[str, str]) -> bool:
    """Whether the caller says that its session is over with this request."""
    return headers.get("x-session-end", "").lower() == "true"


def declared_next_agent(headers: Mapping[str, str], tenant: str) -> str:
    """x-next-agent: the full name of the agent that the session dispatches next; '' if none. Raises IdentityError."""
    if "x-next-agent" not in headers:
        return ""
    return scoped(checked_name(headers["x-next-agent"], "header x-next-agent"), tenant)


def declared_session(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """x-session-id, else metadata.session_id, session_id, prompt_cache_key, baggage gen_ai.conversation.id, user;
    '' if none. Raises IdentityError if x-session-id is unusable."""
    if "x-session-id" in headers:
        return checked_name(headers["x-session-id"], "header x-session-id")
    metadata = _metadata(body)
    for value in (metadata.get("session_id"), body.get("session_id"), body.get("prompt_cache_key")):
        if name := tamed_name(value):
            return name
    if name := tamed_name(dict(_baggage(headers.get("baggage", ""))).get("gen_ai.conversation.id")):
        return name
    return tamed_name(body.get("user")) or tamed_name(metadata.get("user_id"))


def declared_tenant(headers: Mapping[str, str], of_key: str | None) -> str:
    """The tenant of the API key where there is one, else x-tenant-id, else 'default'.

    Raises IdentityError if x-tenant-id is unusable, TenantMismatch if it names another tenant than the key's.
    """
    named = headers.get("x-tenant-id")
    if named is not None and not TENANT.fullmatch(named):
        raise IdentityError("header x-tenant-id: 1 to 64 letters, digits, '_', '.' and '-' only")
    if of_key is not None and named is not None and named != of_key:
        raise TenantMismatch(f"header x-tenant-id says {named!r}, the API key belongs to another tenant")
    return of_key or named or DEFAULT_TENANT


def scoped(name: str, tenant: str) -> str:
    """Names of different tenants never meet: `<tenant>/<name>`, and the name alone for the default tenant."""
    return name if tenant == DEFAULT_TENANT or not name else f"{tenant}/{name}"


def _metadata(body: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, dict) else {}  # pyright: ignore[reportUnknownVariableType] # JSON object


def _baggage(header: str) -> Iterator[tuple[str, str]]:
    """Members of a W3C baggage header; properties after ';' and malformed members are skipped."""
    for member in header[:8192].split(","):
        key, equals, value = member.partition(";")[0].partition("=")
        if equals:
            yield key.strip(), unquote(value.strip())
