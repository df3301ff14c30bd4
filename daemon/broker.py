"""The broker a daemon uses: one that is configured, or its own on loopback with credentials made for this run."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from .broker_mosquitto import MosquittoBroker, find_mosquitto
from .wire import BrokerAddress
from .wire_client import BrokerError, check, parse_url, perhaps, without_login

if TYPE_CHECKING:
    from .broker_amqtt import AmqttBroker

OWN = ("auto", "mosquitto", "amqtt")
SETTINGS = "auto, mosquitto, amqtt, or mqtt://[user:password@]host[:port] (mqtts:// for TLS)"

_log: Any = structlog.get_logger(__name__)


def check_setting(setting: str) -> BrokerAddress | None:
    """The broker that a setting names, None for one of our own. Raises BrokerError in words; connects to nobody."""
    if setting in OWN:
        return None
    if "://" not in setting:
        raise BrokerError(f"broker {without_login(setting)!r} is not known{perhaps(setting)}; expected {SETTINGS}")
    return parse_url(setting)


@asynccontextmanager
async def open_broker(setting: str, *, state_dir: Path) -> AsyncGenerator[BrokerAddress]:
    """A broker that answers, for as long as the context lasts.

    auto: mosquitto as a child process if it is installed, else amqtt in this event loop. Raises BrokerError in words:
    not found, cannot connect, a bad URL.
    """
    address = check_setting(setting)
    if address is not None:
        yield await check(address)
        return
    async with await _start_own(setting, state_dir) as broker:
        yield broker.address


async def _start_own(setting: str, state_dir: Path) -> MosquittoBroker | AmqttBroker:
    username, password = "radixdeck", secrets.token_urlsafe(24)
    program = find_mosquitto()
    if setting == "mosquitto" and program is None:
        raise BrokerError("broker 'mosquitto': the program is not installed; install it, or set the broker to 'amqtt'")
    if program is not None and setting != "amqtt":
        try:
            return await MosquittoBroker.start(program, state_dir, username, password)
        except BrokerError as error:
            if setting == "mosquitto":
                raise
            _log.warning("mosquitto does not start, using amqtt", why=str(error))
    # Imported late: it takes 0.3 s, which only those who need it should pay.
    from .broker_amqtt import AmqttBroker

    return await AmqttBroker.start(username, password)


__all__ = ["BrokerError", "check_setting", "open_broker"]
