"""The daemon: wires broker, link, engine, front, recorder and policies together, and keeps them going.

One loop per concern, each a few lines: facts come in (`_on_engine`, `_on_front`), become part of the run (Journal), are
observed by the policies' twin, which wants actions (`_act`), and go out (Publisher).
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.events import (
    EngineEvent,
    EngineLost,
    EngineStarted,
    EventsDropped,
    FrontEvent,
    PolicyFailed,
    RequestArrived,
    RequestFinished,
    SessionEnded,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.identity.identities import Identities
from radixdeck.policies.residency import RunState

from .acting import act_when_idle
from .actions import Actions
from .anchors import AnchorBook
from .broker import open_broker
from .carry_over import facts_for_new_engine
from .clock import now_ns
from .commands import Commands
from .config import DaemonConfig, engine_key
from .discovery import DiscoveryError, announce, withdraw
from .engine.args import priorities
from .engine.launch import Engine, EngineStatus
from .engine.protocol import EngineSetup, Hello, Observe
from .flush import flush
from .front import Front
from .front_door import Door
from .going import going
from .journal import Journal
from .link import EngineLink
from .look_again import LookAgain
from .mqtt import MqttLink
from .paths import Paths, home_of
from .publishing import Publisher
from .recording import begin_recording, make_room, tell_failures
from .replicas import Replicas
from .rules_files import RulesFiles
from .setup import after
from .wire import BrokerAddress, Command, Discovery, Reply, Status

log = structlog.get_logger(__name__)

UNSEEN = "; its cache is not watched (another kind of cache, or see the engine's log)"


class Daemon:
    """A running daemon. Made by `open_daemon`; `url` is the front, `url + '/v1'` the OpenAI base URL."""

    def __init__(self, config: DaemonConfig, paths: Paths, broker: BrokerAddress) -> None:
        self.config, self.paths, self.broker = config, paths, broker
        self.version = importlib.metadata.version("radixdeck")
        self.started_ns = now_ns()
        run = f"{config.node}-{uuid.uuid4().hex[:8]}"
        self.recorder = begin_recording(config, paths.runs, run, self.started_ns, self.version, self._recording_goes_on)
        self.journal = Journal(run, self.recorder)
        self.setup = EngineSetup(policies=list(config.policy.enabled), tunables=config.policy.tunables)
        self.host = self._new_host()
        endpoint = f"ipc://{paths.socket(run[-8:])}"
        self.link = EngineLink(endpoint, self._on_engine, self._on_hello)
        self.look_again = LookAgain(self.link.send)
        self.engine = Engine(
            config.engine, self.setup, endpoint, paths.logs, paths.models, self._on_engine_status, config.node,
        )  # fmt: skip
        self.identities = Identities(tenants=frozenset(config.api_keys.values()), doubts=config.doubt_names)
        key, keep = engine_key(config), self.recorder.keep if config.record_anchors else None
        self.anchors = AnchorBook(
            upstream=lambda: self.engine.url, hint=self._hint, now_ns=now_ns, engine_key=key, keep=keep,
        )  # fmt: skip
        guards = DoorHost(config.policy.enabled, config.policy.tunables, failed=self._hint)
        self.door = Door(guards, now_ns, priorities(config.engine))
        self.rules = RulesFiles(config.policy.rules, self.door.obey, self._on_front, now_ns)
        self.rules.look()
        self.replicas = Replicas(
            config.engine.replicas, upstream=lambda: self.engine.url, front=lambda: self.url,
            wanted=lambda: self.door.hedges, emit=self._on_front, now_ns=now_ns, key=key,
        )  # fmt: skip
        self.front = Front(
            host=config.host, port=config.port, upstream=lambda: self.engine.url, why_down=self._why_down,
            emit=self._on_front, hint=self._hint, quarantined=self._quarantined, identities=self.identities,
            anchors=self.anchors, now_ns=now_ns, api_keys=config.api_keys or None, engine_key=key,
            door=self.door, wants_paths=lambda: self.host.says("wants_paths"), replicas=self.replicas,
            blind=lambda: self.state.blind, closing_words=config.closing_words,
        )  # fmt: skip
        self.actions = Actions(self.link, self.front, self._on_fact)
        self.commands = Commands(
            state=lambda: self.journal.state, host=lambda: self.host, actions=self.actions, link=self.link,
            flush=self._flush, record=self.journal.append,
            watch=lambda resync: self.publisher.watch(resync=resync),
        )  # fmt: skip
        self.mqtt = MqttLink(broker, config.node, self.commands.handle)
        self.publisher = Publisher(self.mqtt, self.journal, lambda: self.host, self.recorder, config.policy.enabled)
        self.url: str = ""
        self._act_soon = asyncio.Event()

    @property
    def state(self) -> RunState:
        """The folded truth of this run; read it, do not change it."""
        return self.journal.state

    @property
    def recording(self) -> Path:
        """The file that the run is in now."""
        return self.recorder.path

    async def command(self, name: str, arguments: dict[str, Any] | None = None, why: str = "") -> Reply:
        """Give an order from inside this process, through the same checks as one from the bus."""
        told = {"id": uuid.uuid4().hex, "client": "local", "name": name, "why": why, "arguments": arguments or {}}
        return await self.commands.handle(msgspec.convert(told, Command))

    # ---- facts in ----------------------------------------------------------------------------------------------------

    def _on_engine(self, _first_seq: int, events: list[EngineEvent]) -> None:
        for event in events:
            self._on_fact(event)

    def _on_fact(self, event: EngineEvent) -> None:
        if isinstance(event, EngineStarted):
            self.host = self._new_host()
        elif isinstance(event, SessionEnded):
            self.front.session_over(event.session)
        for fact in self.host.observe(event):
            # The engine's own host reports the same in the stream; a failure of the twin is only worth a log line.
            if isinstance(fact, PolicyFailed):
                log.warning("policy failed in the daemon", policy=fact.policy, call=fact.call, error=fact.error)
        self.journal.append(event)
        self.door.follow(event)
        self.setup = self.engine.setup = after(self.setup, event, self.host)
        if isinstance(event, EventsDropped):
            self.look_again.events_are_missing()

    def _on_front(self, event: FrontEvent) -> None:
        if isinstance(event, RequestArrived):
            self.actions.preempt()
        self.journal.append(event)
        if isinstance(event, RequestFinished):
            self._act_soon.set()

    def _hint(self, fact: EngineEvent) -> None:
        self.actions.tell(fact)

    def _on_hello(self, hello: Hello) -> None:
        """A fresh engine knows nothing of what the operator asked for and of the anchors measured so far."""
        log.info("engine connected", pid=hello.pid, rank=hello.rank)
        self._publish_status()  # its cache is watched now
        facts = facts_for_new_engine(self.state, self.anchors)
        if facts:
            self.link.send(Observe("", facts))

    def _on_engine_status(self, status: EngineStatus) -> None:
        log.info("engine", state=status.state, detail=status.detail)
        if status.state in ("restarting", "failed", "stopped"):
            self.link.forget_engine(f"the engine is {status.state}")
        if status.retry_in_s > 0:
            self.journal.append(EngineLost(t_ns=now_ns(), reason=status.detail, retry_in_s=status.retry_in_s))
        self._publish_status()

    # ---- decisions ---------------------------------------------------------------------------------------------------

    async def _act(self) -> None:
        await act_when_idle(
            self._act_soon,
            is_idle=lambda: self.link.connected and not self.front.in_flight,
            wanted=lambda: self.host.act(now_ns() / 1e9),
            carry_out=self.actions.carry_out,
            pass_over=self.actions.pass_over,
        )

    def _new_host(self) -> PolicyHost:
        return PolicyHost(self.setup.policies, self.setup.tunables)

    def _quarantined(self, agent: str) -> str | None:
        stats = self.state.agents.get(agent)
        return f"agent {agent!r} is quarantined by the operator" if stats and stats.quarantined else None

    def _why_down(self) -> tuple[str, float]:
        status = self.engine.status
        return status.detail or status.state, max(status.retry_in_s, 1.0)

    async def _flush(self) -> None:
        await flush(self.engine.url, self.engine.status.state, engine_key(self.config))

    # ---- facts out ---------------------------------------------------------------------------------------------------

    def _publish_status(self) -> None:
        status = self.engine.status
        detail = status.detail + ("" if self.link.connected or status.state != "ready" else UNSEEN)
        detail = "; ".join(filter(None, (detail, self.recorder.failed)))
        self.mqtt.publish(
            "status",
            msgspec.json.encode(
                Status(
                    node=self.config.node, online=True, run=self.journal.run, state=status.state, detail=detail,
                    model=self.state.model, endpoint=self.url, recording=str(self.recording), version=self.version,
                    started_ns=self.started_ns,
                )
            ),
            retain=True,
        )  # fmt: skip

    def _recording_goes_on(self, path: Path) -> None:
        log.info("the recording goes on in another file", path=str(path))
        self._publish_status()
        with suppress(OSError, DiscoveryError):
            announce(self.paths.state, self._discovery())
        self._making_room = asyncio.create_task(make_room(self.paths.runs, self.config.keep_bytes))

    # ---- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind the front and say where we are. Raises FrontError or DiscoveryError if the port or the name is taken."""
        self.url = await self.front.start()
        try:
            announce(self.paths.state, self._discovery())
        except Exception:
            await self.front.stop()
            raise
        self._publish_status()

    def _discovery(self) -> Discovery:
        return Discovery(
            node=self.config.node, pid=os.getpid(), broker=self.broker, endpoint=self.url,
            recording=str(self.recording), log=str(self.paths.logs),
        )  # fmt: skip

    def loops(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Everything that runs until the daemon stops, by name."""
        return {
            "recorder": self.recorder.run, "link": self.link.run, "engine": self.engine.run, "mqtt": self.mqtt.run,
            "act": self._act, "rules": self.rules.run, "replicas": self.replicas.run, **self.publisher.loops(),
            "look again": self.look_again.run,
            "recording": lambda: tell_failures(self.recorder, self._publish_status),
        }  # fmt: skip

    async def stop(self) -> None:
        """Stop taking requests, stop the engine, say goodbye, finish the recording."""
        withdraw(self.paths.state, self.config.node, os.getpid())
        await self.front.stop()
        await self.engine.stop()
        self.publisher.send_events()  # what the engine said last
        self.publisher.lead_no_more()
        self.journal.record_keyframe()


@asynccontextmanager
async def open_daemon(config: DaemonConfig) -> AsyncGenerator[Daemon]:
    """A running daemon for the length of the block. The engine boots in the background: `daemon.engine.wait_ready()`.

    Raises ConfigError, BrokerError, DiscoveryError, FrontError or StorageError in words if it cannot start.
    """
    paths = home_of(config.home)
    await make_room(paths.runs, config.keep_bytes)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(config.broker, state_dir=paths.state))
        daemon = Daemon(config, paths, broker)
        stack.push_async_callback(_finish_recording, daemon)
        await daemon.start()
        await stack.enter_async_context(going(daemon.loops(), daemon.stop))
        yield daemon


async def _finish_recording(daemon: Daemon) -> None:
    await daemon.recorder.close()
    if daemon.journal.seq == 0:
        # Nothing ever happened: a daemon that could not start leaves no empty run behind.
        with suppress(OSError):
            daemon.recording.unlink(missing_ok=True)
