"""Rewrites a caller's request so that its identity reaches SGLang's scheduler.

SGLang hands `custom_params` of the sampling parameters to the scheduler on chat, completions and generate. Anthropic
messages keep only headers (the routing key, a priority), responses only `session_id`; there the identity travels as
JSON behind `radixdeck:`. The cache salt is ours: a caller can only subdivide its own tenant's cache.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, cast

import aiohttp
import msgspec
from aiohttp import web

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.identity.declared import DEFAULT_TENANT
from radixdeck.policies.identity.prompts import GENERATE_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE

from .engine.protocol import CARRIED, IN_BAND, Identity
from .front_errors import Refusal, bad_request
from .front_patience import incoming

MAX_REMEMBERED_IDS = 65_536
_RID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_OURS = ("rd-", "resp_", "HEALTH_CHECK")
"""How request ids begin that the front or SGLang makes."""
_KINDS: dict[type, str] = {str: "a string", list: "an array", bool: "true or false", type(None): "null"}


async def read_object(request: web.Request, max_bytes: int) -> tuple[dict[str, Any], int]:
    """The JSON object in a request's body, and the body's size in bytes.

    Raises Refusal 400 or 413 in words, RecursionError if the body is nested too deeply.
    """
    try:
        data = bytearray()
        async for part in incoming(request):
            data += part
            if len(data) > max_bytes:
                raise Refusal(413, f"the body is larger than {max_bytes >> 20} MiB", "invalid_request_error")
        body = msgspec.json.decode(data)
    except (web.RequestPayloadError, web.HTTPBadRequest, aiohttp.ClientError) as error:
        raise bad_request(f"the request body is broken: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        # Not quoted: what a caller sends may be secret, and why it was refused is recorded and published.
        raise bad_request(f"the body must be a JSON object, not {_KINDS.get(type(cast('object', body)), 'a number')}")
    return cast("dict[str, Any]", body), len(data)


class Prepared(msgspec.Struct, frozen=True):
    """A request as it goes to the engine. `batch`: it holds several prompts (SGLang numbers their ids)."""

    rid: str
    body: bytes
    headers: dict[str, str]
    salt: str | None
    stream: bool
    batch: bool


class RequestIds:
    """Ids of the requests in flight, and the callers' own ids of late.

    SGLang aborts by prefix: aborting 'a' aborts every request whose id begins with 'a'. So an id never is, nor has, a
    prefix of another one in flight, and callers' ids never look like those made here. Whoever counts requests knows
    them by id, so that an id used again is replaced too.
    """

    def __init__(self, remembered: int = MAX_REMEMBERED_IDS) -> None:
        self.in_flight: set[str] = set()
        self._used: Bounded[str, bool] = Bounded(remembered)

    def take(self, asked: Any, route: str) -> str:
        """The caller's id if it is usable and new, else a fresh one. Give it back with `release`."""
        usable = isinstance(asked, str) and _RID.fullmatch(asked) and not _entangled(asked, _OURS)
        if not usable or asked in self._used or _entangled(asked, self.in_flight):
            asked = ("resp_" if route == RESPONSES_ROUTE else "rd-") + uuid.uuid4().hex
        else:
            self._used.put(asked, True)
        self.in_flight.add(asked)
        return asked

    def release(self, rid: str) -> None:
        self.in_flight.discard(rid)


def asked_id(route: str, body: Mapping[str, Any]) -> Any:
    """What the caller put where SGLang takes a request id on this route."""
    return body.get(_id_field(route))


def prepare(route: str, body: dict[str, Any], identity: Identity, rid: str) -> Prepared:
    """Put identity, request id and cache salt into a request; `body` is changed.

    Raises Refusal 400 naming a field of the wrong type.
    """
    salt = _salt(identity.tenant, body.pop("cache_salt", None), body.pop("extra_key", None))
    if route != MESSAGES_ROUTE and salt is not None:
        body["cache_salt"] = salt
    headers: dict[str, str] = {}
    carried = msgspec.structs.asdict(identity)
    if route == GENERATE_ROUTE:
        if _nested(body.get("input_ids"), list, list) and [] in body["input_ids"]:
            raise bad_request("input_ids: a prompt has no tokens", "input_ids")  # SGLang's scheduler dies of it
        sampling = body.get("sampling_params")
        listed = cast("list[Any]", sampling) if isinstance(sampling, list) else None
        body["sampling_params"] = (
            _with_params(sampling, carried) if listed is None else [_with_params(item, carried) for item in listed]
        )
    elif route == MESSAGES_ROUTE:
        headers["x-smg-routing-key"] = CARRIED + json.dumps(carried)
    elif route == RESPONSES_ROUTE:
        body["session_id"] = CARRIED + json.dumps(carried)
    else:
        body["custom_params"] = _merged(body.get("custom_params"), carried, "custom_params")
    if route == MESSAGES_ROUTE:
        headers["x-override-rid"] = rid
        if type(priority := body.pop("priority", None)) is int:
            headers["x-override-priority"] = str(priority)
    else:
        body[_id_field(route)] = rid
    encoded = msgspec.json.encode(body)
    return Prepared(rid, encoded, headers, _first(salt), body.get("stream") is True, is_batch(body))


def _id_field(route: str) -> str:
    return "request_id" if route == RESPONSES_ROUTE else "rid"


def _salt(tenant: str, salt: Any, extra: Any) -> str | list[str] | None:
    """The cache salt of a request: None for the default tenant without one of the caller's own."""
    if isinstance(salt, list) or isinstance(extra, list):
        return _salts(tenant, salt, extra)
    for value, field in ((salt, "cache_salt"), (extra, "extra_key")):
        if value is not None and not isinstance(value, str):
            raise bad_request(f"{field} must be a string or a list of strings", field)
    own = "\x1f".join((salt or "", extra)) if extra else salt or ""
    return f"{tenant}:{own}" if own else None if tenant == DEFAULT_TENANT else tenant


def _salts(tenant: str, salt: Any, extra: Any) -> list[str]:
    count = max(len(cast("list[Any]", value)) for value in (salt, extra) if isinstance(value, list))
    columns = [cast("list[Any]", value) if isinstance(value, list) else [value] * count for value in (salt, extra)]
    if len(columns[0]) != len(columns[1]):
        raise bad_request("cache_salt and extra_key differ in length", "cache_salt")
    salts = [_salt(tenant, *pair) for pair in zip(*columns, strict=True)]
    return [salt if isinstance(salt, str) else "" for salt in salts]


def _first(salt: str | list[str] | None) -> str | None:
    return (salt[0] if salt else None) if isinstance(salt, list) else salt


def _with_params(sampling: Any, carried: dict[str, Any]) -> Any:
    if sampling is not None and not isinstance(sampling, dict):
        raise bad_request("sampling_params must be an object or a list of objects", "sampling_params")
    params = cast("dict[str, Any]", sampling or {})
    where = "sampling_params.custom_params"
    return {**params, "custom_params": _merged(params.get("custom_params"), carried, where)}


def _merged(custom: Any, carried: dict[str, Any], where: str) -> dict[str, Any]:
    if custom is not None and not isinstance(custom, dict):
        raise bad_request(f"{where} must be an object", where)
    return {**cast("dict[str, Any]", custom or {}), IN_BAND: carried}


def is_batch(body: Mapping[str, Any]) -> bool:
    """Whether SGLang makes several requests of it, with ids of their own."""
    prompts = next((body[field] for field in ("prompt", "text", "input_ids") if body.get(field)), None)
    if prompts is None:
        several = _nested(body.get("input_embeds"), list, list, list)
    else:
        several = _nested(prompts, list, str | list)
    return several or any(answers not in (None, 1) for answers in _answers(body))


def _nested(value: Any, *kinds: Any) -> bool:
    """Whether it is of the first kind, what it begins with of the second, and so on."""
    for kind in kinds[:-1]:
        if not value or not isinstance(value, kind):
            return False
        value = value[0]
    return isinstance(value, kinds[-1])


def _answers(body: Mapping[str, Any]) -> Iterator[Any]:
    """How many answers it asks for to each prompt, wherever a route says so; None where it does not."""
    yield body.get("n")
    sampling = body.get("sampling_params")
    for params in cast("list[Any]", sampling) if isinstance(sampling, list) else [sampling]:
        if isinstance(params, dict):
            yield cast("dict[str, Any]", params).get("n")


def _entangled(rid: str, others: set[str] | tuple[str, ...]) -> bool:
    return any(rid.startswith(other) or other.startswith(rid) for other in others)
