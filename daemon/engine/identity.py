"""Who asks: the identity that the daemon sends along with a request, read from SGLang's request object.

It travels as custom_params['radixdeck'], or, on routes that drop custom_params, as JSON in the routing key
(/v1/messages) or in the session id (/v1/responses, which drops the routing key too). Whatever is missing or malformed
makes the request nobody's; it is served all the same.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from radixdeck.policies.tree.ownership import Who

from .protocol import CARRIED, IN_BAND, Identity

MAX_NAME_LENGTH = 256

_decode = msgspec.json.Decoder(Identity).decode


def who_asks(req: Any) -> Who:
    """Never raises. A request's id is spelled so that an event can carry it."""
    rid = str(getattr(req, "rid", "")).encode("utf-8", "backslashreplace").decode()
    try:
        identity = _from_parameters(req) or _carried(req, "routing_key") or _carried(req, "session_id")
    except (msgspec.MsgspecError, UnicodeError):
        identity = None
    if identity is None or not _sane(identity):
        return Who(rid=rid)
    return Who(rid, identity.agent, identity.session, identity.tenant, identity.anchor, identity.warm)


def _from_parameters(req: Any) -> Identity | None:
    params: object = getattr(getattr(req, "sampling_params", None), "custom_params", None)
    if not isinstance(params, dict):
        return None
    told: object = cast("dict[str, object]", params).get(IN_BAND)
    return None if told is None else msgspec.convert(told, Identity)


def _carried(req: Any, field: str) -> Identity | None:
    text: object = getattr(req, field, None)
    if not isinstance(text, str) or not text.startswith(CARRIED):
        return None
    return _decode(text.removeprefix(CARRIED).encode())


def _sane(identity: Identity) -> bool:
    names = (identity.agent, identity.session, identity.tenant)
    usable = all(len(name) <= MAX_NAME_LENGTH and (name.isprintable() or not name) for name in names)
    return bool(identity.agent) and identity.anchor >= 0 and usable
