"""A second engine as it is typed: the URL of an OpenAI-compatible server, with its API key as the URL's password."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import msgspec
from multidict import CIMultiDict

from .front_access import bearer

_SECRET = ("Authorization", "x-api-key", "Cookie")
_SCHEMES = ("http", "https")
_SHOWN = (*_SCHEMES, "mqtt", "mqtts")
"""What before '://' may be shown; anything else may be a part of a key."""
_IN_A_KEY = "and in a key '/', '?' and '#' are typed as %2F, %3F and %23"


class ReplicaError(ValueError):
    """A second engine's URL cannot be used. The message names it, without its key."""


class Replica(msgspec.Struct, frozen=True):
    """`url`: without a slash at its end, and without the key."""

    url: str
    key: str | None = None

    def headers(self, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        """The headers that the first engine gets, as this one gets them: without a caller's secrets, with its own."""
        kept = headers.copy()
        for name in _SECRET:
            kept.popall(name, None)
        kept.update(bearer(self.key))
        return kept


def read_replicas(urls: Sequence[str]) -> tuple[Replica, ...]:
    """Raises ReplicaError."""
    replicas = tuple(read_replica(url) for url in urls)
    for number, replica in enumerate(replicas):
        if replica.url in {other.url for other in replicas[:number]}:
            raise ReplicaError(f"{replica.url} is named twice")
    return replicas


def read_replica(text: str) -> Replica:
    """`http://host:port`, or `http://:key@host:port`; a `/v1` at its end does no harm. Raises ReplicaError."""
    shown = without_key(text)
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:  # whose words may hold a part of the key
        raise ReplicaError(f"{shown!r} is no URL of a server: http://host:port is wanted, {_IN_A_KEY}") from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ReplicaError(f"{shown!r} is no URL of a server: it has an '@' behind its host; {_IN_A_KEY}")
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ReplicaError(f"{shown!r} is no URL of a server: http://host:port is wanted")
    if parts.query or parts.fragment:
        raise ReplicaError(f"{shown!r}: a URL without '?' and '#' is wanted")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = host if port is None else f"{host}:{port}"
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return Replica(f"{parts.scheme}://{where}{path}", unquote(parts.password) if parts.password else None)


def without_key(url: str) -> str:
    """The URL of an engine or a broker as it may be shown."""
    before, at, rest = url.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return url if not at else f"{scheme}{slashes}{rest}" if scheme.strip() in _SHOWN else rest
