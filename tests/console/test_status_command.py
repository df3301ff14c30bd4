"""`radixdeck status`: how every daemon stands, for people and for scripts."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest
from background import beside
from brokers import until

from radixdeck.console import headless
from radixdeck.console.headless import DONE, NO_DAEMON, NOT_SERVING, status
from radixdeck.console.standing import Standing, lines, standing_of
from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.wire import (
    BrokerAddress,
    Command,
    Keyframe,
    Metrics,
    PoliciesTable,
    PolicyInfo,
    Reply,
    Status,
)
from radixdeck.policies.residency import RunState, Totals

READY = Status(node="box", online=True, state="ready", started_ns=10**18)
BUSY = Metrics(
    t_ns=10**18 + 125 * 10**9, hit_rate=0.6, requests_per_s=2.0, ttft_p50_s=0.2, ttft_p95_s=1.5, running=3, waiting=1,
    used_tokens=40, capacity_tokens=8_000,
)  # fmt: skip
RUN = RunState(used_tokens=6_000, capacity_tokens=8_000, totals=Totals(engine_starts=1))
POLICIES = PoliciesTable(
    policies=[
        PolicyInfo(name=name, doc="", slot="", enabled=on)
        for name, on in {"lru": False, "kv_caching": True, "operator": True, "safety": True}.items()
    ]
)


@asynccontextmanager
async def daemon(address: BrokerAddress, node: str, state: str = "ready") -> AsyncGenerator[MqttLink]:
    """What a daemon publishes, and its keyframe when somebody watches."""

    async def on_command(command: Command) -> Reply:
        link.publish("residency", msgspec.json.encode(Keyframe(run="r", seq=1, t_ns=5, state=RUN)))
        return Reply(id=command.id, state="done")

    async def tables() -> None:
        while True:
            link.publish("policies", msgspec.json.encode(POLICIES), retain=True)
            link.publish("metrics", msgspec.json.encode(BUSY))
            await asyncio.sleep(0.1)

    link = MqttLink(address, node, on_command)
    now = msgspec.convert({**msgspec.to_builtins(READY), "node": node, "state": state, "detail": "as told"}, Status)
    link.publish("status", msgspec.json.encode(now), retain=True)
    async with beside(link.run()), beside(tables()):
        await until(lambda: link.connected, "connected")
        yield link


async def test_every_daemon_has_a_line_and_scripts_get_a_code(broker: BrokerAddress) -> None:
    table, objects = io.StringIO(), io.StringIO()
    async with daemon(broker, "a"), daemon(broker, "b"):
        assert await status(broker, out=table) == DONE
        async with daemon(broker, "c", state="restarting"):
            assert await status(broker, json=True, out=objects) == NOT_SERVING
            assert await status(broker, node="a", out=io.StringIO()) == DONE
    heads, *shown = table.getvalue().splitlines()
    assert words(heads) == "daemon engine hit TTFT p50/p95 KV tokens run+wait up policies fault"
    assert [line.split()[0] for line in shown] == ["a", "b"]
    assert words(shown[0]) == "a ready 60 % 0.2s/1.5s 6.0k/8.0k 75 % 3+1 2m05s kv_caching,safety -"
    found = [msgspec.json.decode(line) for line in objects.getvalue().splitlines()]
    assert [(one["node"], one["serving"]) for one in found] == [("a", True), ("b", True), ("c", False)]
    assert (found[2]["state"], found[2]["fault"]) == ("restarting", "as told")
    assert (found[0]["resident_tokens"], found[0]["ttft_p95_s"], found[0]["uptime_s"]) == (6_000, 1.5, 125.0)


async def test_one_that_has_gone_does_not_serve_and_one_that_is_silent_neither(
    broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headless, "OTHERS_S", 0.5)
    out = io.StringIO()
    async with daemon(broker, "a"):
        async with daemon(broker, "gone"):
            pass
        assert await status(broker, json=True, out=out) == NOT_SERVING
        link = MqttLink(broker, "mute", on_command=lambda command: asyncio.sleep(9, Reply(id=command.id, state="done")))
        link.publish("status", msgspec.json.encode(msgspec.structs.replace(READY, node="mute")), retain=True)
        async with beside(link.run()):
            await until(lambda: link.connected, "connected")
            assert await status(broker, node="mute", timeout_s=0.5, json=True, out=out) == NOT_SERVING
    _, gone, mute = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
    assert (gone["node"], gone["state"], gone["fault"]) == ("gone", "offline", "stopped")
    assert (mute["state"], mute["fault"], mute["hit_rate"]) == ("ready", "says nothing of itself", None)


def test_what_a_daemon_says_of_itself_beside_its_engine_is_its_fault() -> None:
    told = msgspec.structs.replace(READY, detail="ready in 9 s; not published: residency")
    assert standing_of(told, POLICIES, BUSY, RUN).fault == "not published: residency"
    assert not standing_of(msgspec.structs.replace(READY, detail="ready in 9 s"), POLICIES, BUSY, RUN).fault


async def test_nobody_is_said_and_has_a_code_of_its_own(broker: BrokerAddress) -> None:
    out, notes = io.StringIO(), io.StringIO()
    assert await status(broker, timeout_s=0.3, out=out, notes=notes) == NO_DAEMON
    nobody = BrokerAddress(host="127.0.0.1", port=1)
    assert await status(nobody, timeout_s=0.3, out=out, notes=notes) == NO_DAEMON
    none, lost = notes.getvalue().splitlines()
    assert none == "no daemon at this broker"
    assert lost.startswith("no connection to the broker (")
    assert out.getvalue() == ""


def words(line: str) -> str:
    """The line without the room between its columns."""
    return " ".join(line.split())


def standing(status: Status = READY, metrics: Metrics | None = BUSY, run: RunState | None = RUN) -> Standing:
    return standing_of(status, POLICIES, metrics, run)


def test_the_worst_fault_is_told() -> None:
    assert standing().fault == ""
    restarted = RunState(totals=Totals(engine_starts=3))
    assert standing(run=restarted).fault == "engine restarted 2 times"
    dropped = msgspec.structs.replace(BUSY, events_dropped=1_200)
    assert standing(metrics=dropped, run=restarted).fault == "1,200 events dropped"
    broken = PoliciesTable(policies=[PolicyInfo(name="kvflow", doc="", slot="", enabled=False, failed="KeyError: 'x'")])
    assert standing_of(READY, broken, dropped, RUN).fault == "policy kvflow failed: KeyError: 'x'"
    blind = msgspec.structs.replace(dropped, blind="left: KeyError: 7")
    seen = standing_of(READY, broken, blind, RUN).fault
    assert seen == "nothing of the cache is seen: radixdeck's observer broke in left: KeyError: 7"
    full = msgspec.structs.replace(dropped, recorder_failed="disk full")
    assert standing_of(READY, broken, full, RUN).fault == "recording stopped: disk full"
    starting = msgspec.structs.replace(READY, state="starting", detail="loading weights")
    assert standing(starting, full).fault == "loading weights"


def test_what_nobody_asked_for_has_no_rate_and_what_is_unknown_a_dash() -> None:
    idle = msgspec.structs.replace(BUSY, requests_per_s=0.0)
    assert (standing(metrics=idle).hit_rate, standing(metrics=idle).ttft_p50_s) == (None, None)
    mute = standing_of(READY, None, None, None)
    assert words(list(lines([mute]))[1]) == "box ready - - - 0+0 - - says nothing of itself"
    steering = msgspec.structs.replace(READY, state="failed", detail="\x1b[2Jgone")
    assert "\x1b" not in "".join(lines([standing(steering)]))


def test_what_needs_no_screen_loads_none() -> None:
    program = "import radixdeck.console.headless, sys; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
