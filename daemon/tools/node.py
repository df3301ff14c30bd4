"""A process that calls tools as a node of its own on the broker, which a console shows, switches and tunes like a
daemon; its run is recorded like a daemon's."""

from __future__ import annotations

import asyncio
import importlib.metadata
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.events import (
    ActionKind,
    ActionTaken,
    CommandReceived,
    PolicySwitched,
    ToolMemoized,
    TunableChanged,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.identity.declared import scoped
from radixdeck.policies.memoization import Memoization
from radixdeck.policies.parameters import TunableError
from radixdeck.policies.registry import PolicyError
from radixdeck.policies.safety import Safety
from radixdeck.policies.tools.permits import MAX_NODES
from radixdeck.storage.files import run_path
from radixdeck.storage.recorder import Recorder, RunInfo

from ..clock import now_ns
from ..journal import Journal
from ..mqtt import MqttLink
from ..orders import recordable
from ..paths import Paths
from ..publishing import Publisher
from ..wire import AgentsTable, BrokerAddress, Command, Reply, Status, WireError, decode
from .keeper import Keeper
from .report import Fact, Report

MAX_KNOWN = 4096
AS_BEFORE = "it was quarantined here when the proxy ended"
NO_ENGINE = "this node is an MCP proxy and has no engine: it takes policy, tune, watch, quarantine and release"


class _Agent(msgspec.Struct):
    """What matters here of a row of AgentsTable."""

    agent: str
    quarantined: bool = False


class _Agents(msgspec.Struct):
    """What names no agents is no table: it has no default. `off`: policies that were switched off there."""

    agents: list[_Agent]
    off: list[str] = []


class _Presence(msgspec.Struct):
    """What matters here of a Status."""

    online: bool


class Node:
    """A node on the broker: publishes the journal, and hands orders to the keeper. Agents that are quarantined at any
    other node are so here, and stay so when that is gone, until it is there again and says otherwise. The same goes for
    memoization where a daemon switched it off, but only while that is there: it is on here if it is on at this node and
    off at no daemon.

    `agent`: whose calls these are, with its tenant's name; `returns`: a node of this name will be there again, so that
    who is quarantined here stays so. Of a name that nobody will have again nothing is left.
    """

    def __init__(
        self, name: str, address: BrokerAddress, paths: Paths, keeper: Keeper, report: Report, *,
        agent: str = "", returns: bool = False,
    ) -> None:  # fmt: skip
        """Raises StorageError if the recording cannot be begun, ValueError if the name cannot be a node's."""
        self._keeper, self._report, self._returns = keeper, report, returns
        self._known: Bounded[str, bool] = Bounded(MAX_KNOWN)
        self._known.put(agent, True)
        self._on = True
        self._off_at: Bounded[str, bool] = Bounded(MAX_NODES)
        started_ns, run = now_ns(), f"{name}-{uuid.uuid4().hex[:8]}"
        info = RunInfo(
            run=run, node=name, started_ns=started_ns, version=importlib.metadata.version("radixdeck"), model="",
            config={"mcp_proxy": True},
        )  # fmt: skip
        self._recorder = Recorder(run_path(paths.runs, name, started_ns), info)
        self._journal = Journal(run, self._recorder)
        self._policies = [Memoization.name, *([Safety.name] if keeper.permits.ruled else [])]
        self._host = PolicyHost(self._policies)
        self._mqtt = MqttLink(address, name, self._ordered, self._heard)
        self._publisher = Publisher(self._mqtt, self._journal, lambda: self._host, self._recorder, leads=())
        self._status = Status(
            node=name, online=True, run=run, state="ready", detail="MCP proxy, no engine", version=info.version,
            recording=str(self._recorder.path), started_ns=started_ns,
        )  # fmt: skip

    @property
    def heard(self) -> bool:
        """Whether the broker has said who is quarantined."""
        return self._mqtt.heard.is_set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """On the broker for the length of the block, which begins once the broker was `heard`, or could not be."""
        self._report.also = self._happened
        self._mqtt.publish("status", msgspec.json.encode(self._status), retain=True)
        for policy in self._policies:
            self._tell(PolicySwitched(t_ns=now_ns(), policy=policy, enabled=True, by="proxy"))
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(loop()) for loop in (self._recorder.run, self._mqtt.run)]
        try:
            await self._mqtt.wait_heard()
            tasks += [asyncio.create_task(loop()) for loop in self._publisher.loops().values()]
            yield
        finally:
            self._publisher.send_events()
            if not self._returns or (self.heard and not self._keeper.permits.here):
                nobody = AgentsTable(run=self._journal.run, seq=self._journal.seq)
                self._mqtt.leave_nothing("agents", msgspec.json.encode(nobody))
            if not self._returns:
                self._mqtt.leave_no_trace()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._recorder.close()

    def _tell(self, fact: PolicySwitched | TunableChanged) -> None:
        self._keeper.heed(fact)
        self._host.observe(fact)
        self._report.tell(fact)

    def _happened(self, fact: Fact) -> None:
        if isinstance(fact, ToolMemoized):
            self._known.put(scoped(fact.agent, fact.tenant), True)
        self._journal.append(fact)

    def _heard(self, node: str, leaf: str, payload: Any) -> None:
        """A node's status or its table of agents; what is neither is left out. One that is gone, or whose table was
        taken from the broker, switches nothing off any more, but lifts no quarantine."""
        with suppress(WireError):
            if leaf == "status":
                if not decode(_Presence, payload, leaf).online:
                    self._switched_at(node, off=False, why=f"{node} is gone")
            elif not payload:
                self._switched_at(node, off=False, why=f"the broker keeps no table of {node}")
            else:
                self._told(node, decode(_Agents, payload, leaf))

    def _told(self, node: str, told: _Agents) -> None:
        """A node's table of agents."""
        for row in told.agents:
            self._known.put(row.agent, True)
        quarantined = [row.agent for row in told.agents if row.quarantined]
        if node == self._status.node:
            self._took_up(quarantined)
        else:
            self._keeper.permits.quarantined_at(node, quarantined)
            off = Memoization.name in told.off
            self._switched_at(node, off=off, why=f"it is switched {'off' if off else 'on'} at {node}")

    def _switched_at(self, node: str, *, off: bool, why: str) -> None:
        """Memoization was switched off at a daemon, or is not so any more."""
        if off:
            self._off_at.put(node, True)
        else:
            self._off_at.pop(node)
        on = self._on and not len(self._off_at)
        if on != self._keeper.on:
            self._switch("proxy", why, on=on)

    def _switch(self, by: str, why: str, *, on: bool) -> None:
        self._tell(PolicySwitched(t_ns=now_ns(), policy=Memoization.name, enabled=on, by=by, why=why))

    def _took_up(self, agents: list[str]) -> None:
        """Who was quarantined here before is so again."""
        for agent in agents:
            self._acted("quarantine", agent, uuid.uuid4().hex, "proxy", AS_BEFORE)

    def _acted(self, kind: ActionKind, agent: str, action: str, by: str, why: str) -> None:
        self._keeper.permits.quarantine(agent, on=kind == "quarantine")
        self._report.tell(ActionTaken(t_ns=now_ns(), id=action, kind=kind, agent=agent, by=by, why=why))
        self._publisher.send_agents()

    async def _ordered(self, command: Command) -> Reply:
        try:
            detail = self._carry_out(command)
            ok = True
        except (PolicyError, TunableError, KeyError, TypeError, ValueError, OverflowError) as error:
            ok, detail = False, f"{command.name}: {error}"
        if command.name != "watch":
            self._report.tell(
                CommandReceived(
                    t_ns=now_ns(), id=command.id, name=command.name, by=command.by, ok=ok, detail=detail,
                    arguments=recordable(command.arguments),
                )
            )  # fmt: skip
        return Reply(id=command.id, state="done" if ok else "refused", detail=detail)

    def _carry_out(self, command: Command) -> str:
        """What was done, in words. Raises what an argument of the wrong kind raises."""
        told = command.arguments
        match command.name:
            case "watch":
                self._publisher.watch(resync=bool(told.get("resync")))
                return "watching"
            case "policy" if told.get("name") == Memoization.name and isinstance(told.get("enabled"), bool):
                return self._ordered_on(command, on=told["enabled"])
            case "tune":
                policy, name, value = str(told["policy"]), str(told["name"]), float(told["value"])
                self._host.check_tune(policy, name, value)
                who = {"by": command.by, "why": command.why}
                self._tell(TunableChanged(t_ns=now_ns(), policy=policy, name=name, value=value, **who))
                return f"{policy}.{name} = {value:g}"
            case "quarantine" | "release":
                return self._quarantine(command, str(told["agent"]))
            case _:
                raise ValueError(NO_ENGINE)

    def _ordered_on(self, command: Command, *, on: bool) -> str:
        """Switch memoization at this node. Raises ValueError while a daemon keeps off what is to be on. Told even where
        it changes nothing now: that it was ordered here holds longer than what a daemon says."""
        if on and len(self._off_at):
            raise ValueError(f"{Memoization.name} is switched off at {', '.join(self._off_at)}: switch it on there")
        self._on = on
        self._switch(command.by, command.why, on=on)
        return f"{Memoization.name} {'on' if on else 'off'}"

    def _quarantine(self, command: Command, agent: str) -> str:
        """Forbid the calls of an agent here, or allow them again."""
        if not agent or (agent not in self._known and agent not in self._keeper.permits.here):
            raise ValueError(f"no agent {agent!r} has called here, and none is told of by a node on the broker")
        kind: ActionKind = "quarantine" if command.name == "quarantine" else "release"
        self._acted(kind, agent, command.id, command.by, command.why)
        held = kind == "release" and self._keeper.permits.is_quarantined(agent)
        return f"{agent} is still quarantined at another node" if held else "done"
