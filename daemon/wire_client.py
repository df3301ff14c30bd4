"""How a client of ours reaches a broker: the address, the connection, and coming back after every loss.

The only module that knows how aiomqtt is set up. Daemon and console both connect through it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import aiomqtt
import msgspec

from .wire import BrokerAddress

ADDRESS_FORM = "mqtt://[user:password@]host[:port], or mqtts:// for TLS"
TIMEOUT_S = 5.0
CHECK_S = 3.0
"""Brokers without MQTT 5 may just be silent when they are spoken to in it."""
GOODBYE_S = 1.0
KEEPALIVE_S = 15
FIRST_DELAY_S = 0.05
LAST_DELAY_S = 2.0
STEADY_AFTER_S = 1.0

AddressSource = Callable[[], BrokerAddress | Awaitable[BrokerAddress]]
"""Where the broker is now, or the finding out of it. Asked before each connection, since a restarted daemon has another
port. May raise BrokerError when nobody knows."""


class BrokerError(RuntimeError):
    """A broker cannot be started, reached or understood. The message says which one and why, never a password."""


def parse_url(url: str) -> BrokerAddress:
    """The address an `mqtt://` or `mqtts://` URL means. Raises BrokerError naming what is wrong with it."""
    if "://" not in url:
        raise BrokerError(f"broker URL {without_login(url)!r}: no scheme{perhaps(url)}; expected {ADDRESS_FORM}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BrokerError(f"broker URL: {error}; expected {ADDRESS_FORM}") from None
    shown = f"{parts.scheme}://{parts.hostname or ''}"
    if parts.scheme not in ("mqtt", "mqtts"):
        raise BrokerError(f"broker URL {shown!r}: scheme {parts.scheme!r} is not known; expected {ADDRESS_FORM}")
    if not parts.hostname:
        raise BrokerError(f"broker URL {shown!r}: no host; expected {ADDRESS_FORM}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BrokerError(f"broker URL {shown!r}: nothing may follow the port; expected {ADDRESS_FORM}")
    tls = parts.scheme == "mqtts"
    return BrokerAddress(
        host=parts.hostname,
        port=port or (8883 if tls else 1883),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=tls,
    )


def without_login(text: str) -> str:
    """What was typed, without what may be a password: all before the last @, and what is no port behind the colon."""
    host, _, port = text.rpartition("@")[2].partition(":")
    return f"{host}:{port}" if port.isdecimal() else host


def perhaps(text: str) -> str:
    """'; did you mean mqtt://...?' where a host and a port were typed without a scheme, else nothing."""
    shown = without_login(text)
    if not re.fullmatch(r"localhost|[\w-]+(\.[\w-]+)*:\d+|[\w-]+(\.[\w-]+)+", shown):
        return ""
    return f"; did you mean mqtt://{'user:password@' if '@' in text else ''}{shown}?"


def named_source(url: str) -> AddressSource:
    """The broker of a URL, spoken to in the MQTT it knows, which the first connection finds out. Raises BrokerError."""
    address = parse_url(url)
    checked: BrokerAddress | None = None

    async def source() -> BrokerAddress:
        nonlocal checked
        checked = checked or await check(address)
        return checked

    return source


class _Client(aiomqtt.Client):
    """aiomqtt waits with `asyncio.wait_for`, which up to Python 3.11 loses a cancellation that comes together with the
    result; the task would then run on for ever. Nor does it keep what the broker says of itself on connecting."""

    max_packet_bytes = 0

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", 0)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    async def publish(self, *args: Any, **kwargs: Any) -> None:
        await super().publish(*args, **kwargs)
        leave_if_cancelled()

    async def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        granted = await super().subscribe(*args, **kwargs)
        leave_if_cancelled()
        return granted


def max_packet_bytes(client: aiomqtt.Client) -> int:
    """How large a packet the broker takes that this client is connected to, as it said; 0 if it did not."""
    return client.max_packet_bytes if isinstance(client, _Client) else 0


def leave_if_cancelled() -> None:
    """Raise the CancelledError that this task was sent and that somebody swallowed."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def new_client(
    address: BrokerAddress, identifier: str, will: aiomqtt.Will | None = None, timeout_s: float = TIMEOUT_S
) -> aiomqtt.Client:
    """A client for one connection. TCP_NODELAY is set: without it a QoS 1 round trip waits 44 ms for delayed ACKs."""
    return _Client(
        hostname=address.host,
        port=address.port,
        username=address.username or None,
        password=address.password or None,
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V5 if address.v5 else aiomqtt.ProtocolVersion.V311,
        # MQTT 5 has clean_start instead; paho refuses to be given the other one.
        clean_session=None if address.v5 else True,
        will=will,
        # paho would print each lost connection on stderr, in the middle of a screen; `stay_connected` tells it.
        logger=logging.Logger("mqtt", logging.CRITICAL),
        timeout=timeout_s,
        keepalive=KEEPALIVE_S,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        tls_context=ssl.create_default_context() if address.tls else None,
    )


async def check(address: BrokerAddress) -> BrokerAddress:
    """Connect once, with MQTT 5 and else with 3.1.1; the address with `v5` set to what works. Raises BrokerError."""
    why = ""
    for v5 in (True, False):
        trial = msgspec.structs.replace(address, v5=v5)
        try:
            async with new_client(trial, new_identifier("check"), timeout_s=CHECK_S):
                return trial
        except (aiomqtt.MqttError, OSError) as error:
            why = why or str(error)
    raise BrokerError(f"cannot connect to the broker at {address.host}:{address.port}: {why}")


def new_identifier(name: str) -> str:
    """A client id nobody guesses: whoever connects with the id of another client can throw that one out."""
    return f"{name[:32]}-{random.SystemRandom().randbytes(8).hex()}"


async def stay_connected(
    source: AddressSource,
    connect: Callable[[BrokerAddress], aiomqtt.Client],
    session: Callable[[aiomqtt.Client], Awaitable[None]],
    on_lost: Callable[[str], None],
) -> None:
    """Connect and run `session` for ever, with back-off between tries; `on_lost` hears why, each time.

    `session` has to read `client.messages`: reading is what notices a lost connection, publishing does not.
    """
    delay_s = FIRST_DELAY_S
    while True:
        why = "the connection was closed"
        began_s = time.monotonic()
        try:
            where = source()
            async with connect(where if isinstance(where, BrokerAddress) else await where) as client:
                try:
                    leave_if_cancelled()
                    await session(client)
                finally:
                    client.timeout = GOODBYE_S
        except* (aiomqtt.MqttError, OSError, BrokerError) as group:
            why = _first_words(group)
        # A broker that does not answer the goodbye makes aiomqtt raise its own error in place of the cancellation.
        leave_if_cancelled()
        on_lost(why)
        delay_s = FIRST_DELAY_S if time.monotonic() - began_s > STEADY_AFTER_S else min(2 * delay_s, LAST_DELAY_S)
        await asyncio.sleep(delay_s * random.uniform(0.75, 1.25))


def _first_words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _first_words(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return str(error) or type(error).__name__
