"""The front: a streaming reverse proxy before SGLang's own server that knows who is asking.

Everything SGLang's server understands passes through unchanged. Generating requests get an identity, a request id and
their tenant's cache salt on the way; a caller that goes away takes its request in the engine along.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict

from radixdeck.policies.events import EngineEvent, FrontEvent, SessionEnded
from radixdeck.policies.identity import declared
from radixdeck.policies.identity.identities import Identities
from radixdeck.policies.identity.last_words import CLOSING_WORDS
from radixdeck.policies.identity.prompts import RESPONSES_ROUTE
from radixdeck.policies.identity.who import Who
from radixdeck.policies.tree.sight import why_blind

from .anchors import AnchorBook
from .engine.protocol import Identity
from .front_abort import Aborts
from .front_access import GENERATING, Access, bearer, is_unread
from .front_body import Prepared, RequestIds, asked_id, prepare, read_object
from .front_door import Door, open_door
from .front_errors import FrontError, Refusal, bad_request, named, unreadable
from .front_exchange import CLIENT_GONE, Exchange, Reports
from .front_hedge import Hedges
from .front_paths import PathBook
from .front_patience import incoming
from .front_relay import CallerGone, Relay, open_session
from .front_site import listen, lower_headers, without_end_slash
from .front_warm import Warmer
from .replicas import Replicas

MAX_BODY_BYTES = 64 << 20
_SESSIONS = "/radixdeck/sessions/"
_log = logging.getLogger("radixdeck.front")


class Front:
    """The HTTP side of the daemon. `upstream`: the engine's URL, None while it is away; `why_down`: why, and seconds
    until the next try; `emit`: takes front events; `hint`: takes facts for the engine stream; `quarantined`: why an
    agent is refused, None if it is not; `api_keys`: key -> tenant, none needed if empty; `engine_key`: the API key that
    the engine asks for, sent with the front's own calls only; `wants_paths`: whether `warm` of sessions is wanted;
    `replicas`: second engines, for late requests; `blind`: as in RunState; `closing_words`: as in DaemonConfig."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        upstream: Callable[[], str | None],
        why_down: Callable[[], tuple[str, float]],
        emit: Callable[[FrontEvent], None],
        hint: Callable[[EngineEvent], None],
        quarantined: Callable[[str], str | None],
        identities: Identities,
        anchors: AnchorBook,
        now_ns: Callable[[], int],
        api_keys: Mapping[str, str] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        engine_key: str | None = None,
        door: Door | None = None,
        wants_paths: Callable[[], bool] = lambda: True,
        replicas: Replicas | None = None,
        blind: Callable[[], str] = str,
        closing_words: Sequence[str] = CLOSING_WORDS,
    ) -> None:
        self.in_flight = 0
        self._door = door or open_door(now_ns)
        self._host, self._port = host, port
        self._upstream, self._why_down, self._blind = upstream, why_down, blind
        self._to = Reports(emit, hint, now_ns)
        self._quarantined, self._closing_words = quarantined, closing_words
        self._identities = identities
        self._anchors = anchors
        self._paths = PathBook(wanted=wants_paths)
        self._access = Access(api_keys)
        self._max_body_bytes = max_body_bytes
        self._own_headers = bearer(engine_key)
        self._warmer = Warmer(anchors, self._paths, self._own_headers)
        self._ids = RequestIds()
        self._replicas = replicas
        self._hedges: Hedges | None = None
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> str:
        """Listen; returns the URL. Port 0 picks a free one. Raises FrontError if the address cannot be had."""
        self._runner, url = await listen(self._handle, self._host, self._port, self._max_body_bytes)
        self._session = open_session()
        self._relay = Relay(self._session, self._upstream, self._why_down)
        self._aborts = Aborts(self._session)
        if self._replicas is not None:
            self._hedges = Hedges(self._door, self._replicas, self._aborts, self._to, self._own_headers)
        self._anchors.start(self._session)
        return url

    async def stop(self) -> None:
        """Stop listening; requests in flight are given 2 s, then aborted in the engine too."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._anchors.stop()
        if self._session is not None:
            await self._aborts.told()
            await self._relay.close()
            await self._session.close()
        self._runner = self._session = None

    async def warm(self, agent: str, session: str = "", most_tokens: int = 0) -> int:
        """Prefill the agent's anchor, or with `session` what it will most likely be asked there, of which the first
        `most_tokens` only if that is not 0; returns how many tokens that were. Cancelling aborts it in the engine.

        Raises FrontError if it is not known or the engine does not take it.
        """
        upstream = self._upstream()
        if upstream is None or self._session is None:
            raise FrontError(f"the engine is not available: {self._why_down()[0]}")
        rid = self._ids.take(None, "")
        try:
            return await self._warmer.prefill(self._session, upstream, agent, session, most_tokens, rid)
        except asyncio.CancelledError:
            self._abort(rid)
            raise
        finally:
            self._ids.release(rid)

    def session_over(self, session: str) -> None:
        """Nobody will be asked in it any more."""
        self._paths.ended(session)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._routed(without_end_slash(request))
        except Refusal as refusal:
            return self._refused(refusal)
        except CallerGone:
            return web.Response(status=CLIENT_GONE)  # nobody reads it
        except RecursionError:  # met while reading the body or while rewriting it
            return self._refused(bad_request("the body is nested too deeply"))
        except Exception as error:
            _log.exception("unexpected error on %s %s", request.method, request.path)
            return self._refused(Refusal(500, f"internal error: {type(error).__name__}", "internal_error"))

    async def _routed(self, request: web.Request) -> web.StreamResponse:
        key_tenant = self._access.tenant(request.path, request.headers)
        if request.path.startswith("/radixdeck/"):
            return self._own(request, key_tenant)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            raise Refusal(501, "the front carries no websockets", "not_supported_error")
        if not request.rel_url.raw_path.startswith("/"):
            raise bad_request(f"{request.method} needs a path that begins with '/'")
        told = lower_headers(request)
        tenant = named(lambda: declared.declared_tenant(told, key_tenant))
        self._access.check(request.method, request.path, request.headers, request.remote, tenant)
        if request.path in GENERATING and request.method in ("POST", "PUT"):
            return await self._generate(request, told, key_tenant)
        if is_unread(request.method, request.path):
            return await self._unread(
                request, declared.scoped(named(lambda: declared.declared_agent(told, {})), tenant)
            )
        return await self._relayed(request)

    async def _relayed(self, request: web.Request) -> web.StreamResponse:
        """A request that the front only passes on."""
        headers = self._access.forwarded(request.headers)
        if "Content-Length" in request.headers and "Content-Encoding" not in request.headers:
            headers["Content-Length"] = request.headers["Content-Length"]
        data = incoming(request) if request.body_exists else None
        return (await self._relay.carry(request, headers, data, None))[0]

    async def _unread(self, request: web.Request, agent: str) -> web.StreamResponse:
        """A request that is work for the engine, of a kind that is not understood here: of whom it is, only headers
        tell, '' if they do not."""
        try:
            self._admit(agent)
            if by := self._door.must_judge:
                raise unreadable(request.path, by)
        except Refusal as refusal:
            return self._refused(refusal, agent)
        self.in_flight += 1
        try:
            return await self._relayed(request)
        finally:
            self.in_flight -= 1

    async def _generate(self, request: web.Request, told: dict[str, str], key_tenant: str | None) -> web.StreamResponse:
        """`told`: the headers, their names in small letters."""
        arrived_ns, begun = self._to.now_ns(), False
        body, size = await read_object(request, self._max_body_bytes)
        who = named(lambda: self._identities.identify(told, request.path, body, key_tenant, arrived_ns / 1e9))
        following = named(lambda: declared.declared_next_agent(told, who.tenant))
        for news in (who.seen, *who.doubts):
            if news is not None:
                self._to.emit(msgspec.structs.replace(news, t_ns=arrived_ns))
        try:
            self._admit(who.agent, who.called)
            rid = self._ids.take(asked_id(request.path, body), request.path)
            try:
                async with self._door.passage(request.path, body, who, rid, size, self._to) as passage:
                    self._admit(who.agent, who.called)  # much may have changed while it was held
                    prepared = self._prepared(request.path, body, who, rid, size)
                    exchange = Exchange(
                        who, prepared, request.path, size, arrived_ns, self._to, following, self._closing_words
                    )
                    begun = True
                    if self._hedges is not None:
                        exchange.late = self._hedges.late(passage.asked, request)
                    try:
                        return await self._counted(request, prepared, exchange, who)
                    finally:
                        passage.usage = exchange.watch
            finally:
                self._ids.release(rid)
        except Refusal as refusal:
            return self._refused(refusal, who.agent)
        finally:
            if not begun and declared.declared_end(told):  # else the exchange says so
                self._to.hint(SessionEnded(t_ns=self._to.now_ns(), session=who.session))

    def _admit(self, *names: str) -> None:
        """Raises Refusal if the agent is quarantined under any of its names, or the engine is away."""
        for agent in names:
            if reason := self._quarantined(agent):
                raise Refusal(403, f"agent {agent!r} is quarantined: {reason}", "agent_quarantined")
        self._relay.base()

    def _prepared(self, route: str, body: dict[str, Any], who: Who, rid: str, size_bytes: int) -> Prepared:
        """The request as it goes to the engine. Raises Refusal 400."""
        anchor = self._anchors.tokens(who.agent, who.fingerprint)
        identity = Identity(agent=who.agent, session=who.session, tenant=who.tenant, anchor=anchor)
        prepared = prepare(route, body, identity, rid)
        self._anchors.note(who, route, body, prepared.salt)
        self._paths.note(who, route, body, prepared.salt, size_bytes)
        return prepared

    async def _counted(
        self, request: web.Request, prepared: Prepared, exchange: Exchange, who: Who
    ) -> web.StreamResponse:
        headers = self._access.forwarded(request.headers)
        headers.update(prepared.headers)
        self.in_flight += 1
        try:
            return await self._exchanged(request, headers, prepared, exchange, who)
        finally:
            exchange.finished(500, "error")  # if nothing has ended it yet, something unforeseen has
            self.in_flight -= 1

    async def _exchanged(
        self, request: web.Request, headers: CIMultiDict[str], prepared: Prepared, exchange: Exchange, who: Who
    ) -> web.StreamResponse:
        over = declared.declared_end(request.headers)
        try:
            answer, whole = await self._relay.carry(request, headers, prepared.body, exchange)
        except Refusal as refusal:
            exchange.finished(refusal.status, "error", session_over=over)
            return refusal.response()
        except (asyncio.CancelledError, CallerGone):
            exchange.finished(CLIENT_GONE, "abort", session_over=over)
            if not prepared.batch:
                self._abort(prepared.rid)
            raise
        failed = not whole or answer.status >= 400
        if request.path == RESPONSES_ROUTE and not failed:
            self._identities.answered(prepared.rid, who)
        exchange.finished(answer.status if whole else 502, "error" if failed else None, session_over=over)
        return answer

    def _own(self, request: web.Request, key_tenant: str | None) -> web.Response:
        """The daemon's own routes."""
        path = request.path
        if path == "/radixdeck/health":
            up = self._upstream() is not None
            detail, retry_in_s = (why_blind(self._blind()), 0.0) if up else self._why_down()
            engine = {"engine": "ready" if up else "away", "detail": detail, "retry_in_s": retry_in_s}
            return web.json_response({"status": "ok", **engine, "in_flight": self.in_flight})
        if request.method == "POST" and path.startswith(_SESSIONS) and path.endswith("/end"):
            name = path.removeprefix(_SESSIONS).removesuffix("end").removesuffix("/")
            session = named(lambda: self._identities.session_name(name, lower_headers(request), key_tenant))
            self._to.hint(SessionEnded(t_ns=self._to.now_ns(), session=session))
            return web.json_response({"session": session, "ended": True})
        raise Refusal(404, f"radixdeck has no {request.method} {path}", "not_found_error")

    def _refused(self, refusal: Refusal, agent: str = "") -> web.Response:
        self._to.emit(refusal.fact(self._to.now_ns(), agent))
        return refusal.response()

    def _abort(self, rid: str) -> None:
        """Have the engine give a request up."""
        if self._session is not None and (upstream := self._upstream()) is not None:
            self._aborts.tell(upstream, rid, self._own_headers)
