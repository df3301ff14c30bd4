"""`radixdeck serve`: run a daemon in the foreground, say in words what it does, stop cleanly on Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler

import structlog

from radixdeck.storage.errors import StorageError

from .broker import BrokerError
from .config import ConfigError, DaemonConfig, public
from .discovery import DiscoveryError
from .engine.args import hint
from .front_errors import FrontError
from .limits import raise_open_files
from .link import LinkError
from .loop import run
from .paths import home_of
from .runtime import Daemon, open_daemon

log = structlog.get_logger(__name__)

Say = Callable[[str], None]
CANNOT_START = (BrokerError, ConfigError, DiscoveryError, FrontError, LinkError, StorageError, OSError)
MAX_LOG_BYTES = 16 << 20


def serve(config: DaemonConfig, say: Say) -> int:
    """Run until told to stop. Returns the process's exit code: 0 after a clean stop, 1 if an error ended it, 2 if it
    could not start."""
    raise_open_files()
    try:
        log_to_file(config)
        return run(_serve(config, say))
    except CANNOT_START as error:
        say(f"cannot start: {error}")
        return 2
    except KeyboardInterrupt:
        return 0


def own_settings(config: DaemonConfig) -> list[str]:
    """What the daemon itself would run with, a line each, without passwords."""
    shown = public(config)
    said = {
        "node": config.node, "host": config.host, "port": str(config.port or "a free one"), "broker": shown["broker"],
        "policies": ", ".join(config.policy.enabled) or "none", "replicas": ", ".join(shown["engine"]["replicas"]),
        "home": str(home_of(config.home).home),
    }  # fmt: skip
    return [f"{name:9} {value}" for name, value in said.items() if value]


def log_to_file(config: DaemonConfig) -> None:
    """The daemon's own log: JSON lines in `<home>/logs/daemon-<node>.log`; warnings of libraries go there too.

    A full one is kept beside the next, the one before goes. Daemons that share a home have a log each: none renames a
    file that another one writes.
    """
    path = home_of(config.home).logs / f"daemon-{config.node}.log"
    handler = RotatingFileHandler(path, maxBytes=MAX_LOG_BYTES, backupCount=1)
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(message)s", force=True)
    for noisy in ("amqtt", "transitions", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


async def _serve(config: DaemonConfig, say: Say) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    started = False
    try:
        async with open_daemon(config) as daemon:
            started = True
            _introduce(daemon, say)
            telling = asyncio.create_task(_tell(daemon, say))
            await stop.wait()
            telling.cancel()
            say("stopping (again Ctrl-C to stop at once)")
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
    except CANNOT_START as error:
        if not started:
            raise
        log.exception("ended by an error")
        say(f"ended by an error: {error}")
        return 1
    say(f"stopped; recording: {daemon.recording}")
    return 0


def _introduce(daemon: Daemon, say: Say) -> None:
    say(f"front     {daemon.url}/v1   (OpenAI-compatible)")
    say(f"broker    {daemon.broker.kind} at {daemon.broker.host}:{daemon.broker.port}")
    say(f"recording {daemon.recording}")
    say(f"logs      {daemon.paths.logs}")
    say(f"console   radixdeck console --node {daemon.config.node}")
    if known := hint(daemon.config.engine):
        say(f"hint      {known}")


async def _tell(daemon: Daemon, say: Say) -> None:
    """One line whenever the engine's state or what it is doing changes, and when recording stops or goes on."""
    told: dict[str, str] = {}
    while True:
        status = daemon.engine.status
        news = {
            "engine": f"{status.state}{': ' + status.detail if status.detail else ''}",
            **{f"replica   {url}".rstrip(): words for url, words in daemon.replicas.words().items()},
            "recording": f"stopped: {daemon.recorder.failed}" if daemon.recorder.failed else "goes on",
        }
        for what, words in news.items():
            if told.setdefault(what, "goes on") != words:
                say(f"{what:9} {words}")
        told = news
        await asyncio.sleep(0.25)


def print_line(text: str) -> None:
    """The default `Say`: standard error, unbuffered, so that pipes see progress as it happens."""
    print(text, file=sys.stderr, flush=True)
