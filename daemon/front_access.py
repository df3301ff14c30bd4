"""Who may call what, and which headers cross the front."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from multidict import CIMultiDict, MultiMapping

from radixdeck.policies.identity.declared import DEFAULT_TENANT
from radixdeck.policies.identity.prompts import (
    CHAT_ROUTES,
    COMPLETIONS_ROUTE,
    GENERATE_ROUTE,
    MESSAGES_ROUTE,
    RESPONSES_ROUTE,
)

from .engine.protocol import CARRIED
from .front_errors import Refusal

GENERATING = CHAT_ROUTES | {COMPLETIONS_ROUTE, GENERATE_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE}
"""Routes whose requests carry an identity into the engine."""
SALTED = GENERATING - {MESSAGES_ROUTE}
"""Routes on which SGLang takes a cache salt, so that a tenant's cache is its own."""

_OPEN = frozenset({"/health", "/health_generate", "/ready", "/ping", "/radixdeck/health"})
_CACHELESS = frozenset({"/tokenize", "/detokenize", "/v1/tokenize", "/v1/detokenize", "/v1/messages/count_tokens"})
_UNREAD = frozenset({"/encode", "/classify", "/vertex_generate"})
_UNREAD_BELOW = ("/v1/", "/api/")
"""Where SGLang has, or may get, routes that make it work on prompts: Ollama's, scores, embeddings, transcriptions."""
_WORKLESS = frozenset({"/api/show"})
_SERVING = _OPEN | _CACHELESS | GENERATING | {"/", "/model_info", "/get_model_info", "/encode", "/classify"}
_ASKED = GENERATING | {"/v1/models", "/v1/embeddings"}
_SERVING_BELOW = ("/v1/", "/api/", "/radixdeck/")
"""`/api/` is Ollama's."""

_CHANGING = frozenset({"POST", "PUT", "DELETE"})
"""What administration may be asked with: a page's own script cannot send these to another site without an Origin,
while an image on any page can GET."""
_TELLING = frozenset(
    {"/server_info", "/get_server_info", "/metrics", "/docs", "/redoc", "/openapi.json", "/hicache/storage-backend",
     "/list_external_corpora", "/is_scaling_elastic_ep"}
)  # fmt: skip
"""Administrative routes whose GET changes nothing."""
_PROXIED = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via")

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
     "transfer-encoding", "upgrade", "host", "content-length", "expect"}
)  # fmt: skip
_OVERRIDES = "x-override-"
"""How headers begin that SGLang puts over what a body says, because we have it do so. What a caller may say of that, it
says in the body."""
_DECODED = frozenset({"gzip", "deflate", "br", "zstd"})
"""Content encodings that the HTTP server has already undone when a body is read."""


def is_unread(method: str, path: str) -> bool:
    """Whether it has the engine work on a prompt that the front does not understand."""
    if method not in ("POST", "PUT") or path in GENERATING | _CACHELESS | _WORKLESS:
        return False
    cancels = path.startswith(f"{RESPONSES_ROUTE}/") and path.endswith("/cancel")
    return path in _UNREAD or (path.startswith(_UNREAD_BELOW) and not cancels)


class Access:
    """API keys (key -> tenant; none: everybody is let in) and the rule that administration is local."""

    def __init__(self, api_keys: Mapping[str, str] | None) -> None:
        self._keys = dict(api_keys or {})

    @property
    def keyed(self) -> bool:
        return bool(self._keys)

    def tenant(self, path: str, headers: Mapping[str, str]) -> str | None:
        """Tenant of the caller's API key, None where keys are off. Raises Refusal 401 without a good key."""
        if not self._keys or path in _OPEN:
            return None
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not key:
            raise Refusal(401, "an API key is needed: Authorization: Bearer <key>", "authentication_error")
        tenant = self._keys.get(key)
        if tenant is None:
            raise Refusal(401, "this API key is not known", "authentication_error")
        return tenant

    def check(self, method: str, path: str, headers: Mapping[str, str], remote: str | None, tenant: str) -> None:
        """Raises Refusal 403 for administration from afar and for routes that would mix tenants' caches, 405 for
        administration by a method that web pages can use, 404 for a route of the API without its /v1."""
        if path not in _SERVING and not path.startswith(_SERVING_BELOW):
            self._check_administration(method, path, headers, remote, tenant)
        mixes = method not in ("GET", "HEAD") and path not in SALTED | _CACHELESS and not path.startswith("/radixdeck/")
        if tenant != DEFAULT_TENANT and mixes:
            message = f"SGLang cannot keep tenant {tenant!r} apart on {path}; use /v1/chat/completions or /v1/responses"
            raise Refusal(403, message, "permission_error")

    def _check_administration(
        self, method: str, path: str, headers: Mapping[str, str], remote: str | None, tenant: str
    ) -> None:
        if f"/v1{path}" in _ASKED:
            raise Refusal(404, f"there is no {path}: did you mean /v1{path}?", "not_found_error")
        told = f"{path} is no route of the API and counts as one that administers the engine"
        if not is_loopback(remote) or _is_relayed(headers):
            raise Refusal(403, f"{told}, which only local programs may call", "permission_error")
        if method not in _CHANGING and not (method in ("GET", "HEAD") and path in _TELLING):
            raise Refusal(405, f"{told}: use POST, not {method}", "invalid_request_error")
        if self.keyed and tenant != DEFAULT_TENANT:
            raise Refusal(403, f"{told}: not for tenant {tenant!r}", "permission_error")

    def forwarded(self, headers: MultiMapping[str]) -> CIMultiDict[str]:
        """Request headers for the engine: no hop-by-hop ones, no API key of ours, nothing posing as our identity."""
        kept = end_to_end(headers)
        if self.keyed:
            kept.popall("Authorization", None)
            kept.popall("x-api-key", None)
        for name in {name for name in kept if name.lower().startswith(_OVERRIDES)}:
            kept.popall(name, None)
        if any(key.startswith(CARRIED) for key in kept.getall("x-smg-routing-key", ())):
            kept.popall("x-smg-routing-key")
        if headers.get("Content-Encoding", "").lower() in _DECODED:
            kept.popall("Content-Encoding", None)
        return kept


def _is_relayed(headers: Mapping[str, str]) -> bool:
    """Whether a web page or a proxy is behind a request that comes from this machine."""
    if "Origin" in headers or headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    return any(name in headers for name in _PROXIED)


def bearer(key: str | None) -> dict[str, str]:
    """Headers of a call of our own to an engine that asks for this key, None if it asks for none."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Headers without those that belong to one connection only."""
    named = {name.strip().lower() for value in headers.getall("Connection", ()) for name in value.split(",")}
    return CIMultiDict(_without(headers.items(), _HOP_BY_HOP | named))


def _without(items: Iterable[tuple[str, str]], dropped: frozenset[str] | set[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in items if name.lower() not in dropped]


def is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
