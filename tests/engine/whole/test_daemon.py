"""The whole way, nothing replaced: openai client, front, SGLang, link, journal, SQLite, MQTT, console."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import openai
import psutil
import pytest
from processes import gone

from radixdeck.daemon.engine.protocol import Act, Snapshot
from radixdeck.daemon.runtime import Daemon
from radixdeck.policies.events import EngineLost, EventsDropped
from radixdeck.policies.primitives import Action
from radixdeck.storage.session import open_session
from whole.stage import NODE, ROLES, Watching, all_owned, ask, idle, settled, step

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="package")]

NOTICED_S = 2.0


async def test_every_cached_token_has_an_owner(daemon: Daemon, client: openai.AsyncOpenAI) -> None:
    await step(client)
    state = await settled(
        daemon, lambda s: idle(s) and all(s.agents[a].anchor_tokens and s.agents[a].dispatches >= 2 for a in ROLES)
    )
    for agent in ROLES:
        stats = state.agents[agent]
        assert stats.dispatches == 2
        assert stats.cached_tokens >= stats.anchor_tokens > 50, "the second session finds the anchor of the first"
    await settled(daemon, all_owned, timeout_s=10)
    assert {view.role for view in state.nodes.values() if view.agents} >= {"anchor", "private"}


async def test_console_and_replay_agree(daemon: Daemon, client: openai.AsyncOpenAI) -> None:
    async with Watching(daemon) as console:
        await step(client, tag="r")
        await settled(daemon, idle)
        live = msgspec.to_builtins(await console.caught_up(daemon))
        # Taken at once: the engine may have more to tell while the recorder writes, and both go on from here.
        seq = console.fleet.nodes[NODE].seq
        await daemon.recorder.flush()
        session = open_session(daemon.recording)
        try:
            assert session.last_seq >= seq
            replayed = session.state_after(seq)
        finally:
            session.close()
        assert msgspec.to_builtins(replayed) == live


async def test_operator_acts_on_the_real_tree(daemon: Daemon, client: openai.AsyncOpenAI) -> None:
    await step(client, sessions=1, tag="o")
    async with Watching(daemon) as console:
        await console.caught_up(daemon)
        before = await daemon.link.order(Snapshot(daemon.link.new_id()))
        evicted = await console.feed.command(NODE, "evict", {"agent": "coder"})
        assert (evicted.state, evicted.tokens > 50) == ("done", True), evicted
        after = await daemon.link.order(Snapshot(daemon.link.new_id()))
        assert evicted.tokens == before.tokens - after.tokens
        unknown = await daemon.link.order(Act(daemon.link.new_id(), Action("evict", agent="nobody at all")))
        assert (unknown.ok, "nobody at all" in unknown.detail) == (False, True)
        # What it shares with the others (the first words of the template) is theirs too and stays.
        await settled(daemon, lambda s: s.agents["coder"].anchor_resident_tokens < 30)
        warm = await console.feed.command(NODE, "warm", {"agent": "coder"})
        assert warm.state == "done", warm
        state = await settled(daemon, lambda s: s.agents["coder"].anchor_resident_tokens > 50)
        assert state.agents["coder"].warmups == 1
        assert (await console.feed.command(NODE, "pin", {"agent": "coder"})).state == "done"
        await settled(daemon, lambda s: s.agents["coder"].pinned)
        refused = await console.feed.command(NODE, "pin", {"agent": "codr"})
        assert refused.state == "refused"
        assert "coder" in refused.detail


async def test_policies_switch_and_tune_while_it_runs(daemon: Daemon) -> None:
    async with Watching(daemon) as console:
        assert (await console.feed.command(NODE, "policy", {"name": "lru", "enabled": True})).state == "done"
        await settled(daemon, lambda s: s.policies.get("lru", False) and not s.policies.get("kv_caching", False))
        assert (await console.feed.command(NODE, "policy", {"name": "kv_caching", "enabled": True})).state == "done"
        tuned = await console.feed.command(NODE, "tune", {"policy": "kv_caching", "name": "liveness", "value": 0.5})
        assert tuned.state == "done", tuned
        await settled(daemon, lambda s: s.tunables["kv_caching"]["liveness"] == 0.5)
        outside = await console.feed.command(NODE, "tune", {"policy": "kv_caching", "name": "liveness", "value": 7})
        assert outside.state == "refused"
        assert "0 to 1" in outside.detail


async def test_losing_the_broker_disturbs_no_request(daemon: Daemon, client: openai.AsyncOpenAI) -> None:
    broker = _child(daemon, "mosquitto")
    if broker is None:
        pytest.skip("mosquitto is not installed; the broker is inside the daemon")
    async with Watching(daemon) as console:
        await console.caught_up(daemon)
        asking = asyncio.create_task(step(client, sessions=3, tag="b"))
        broker.kill()
        await asking
        await settled(daemon, idle)
        live = await console.caught_up(daemon)
        assert live.agents["planner"].dispatches == daemon.state.agents["planner"].dispatches
    await daemon.recorder.flush()
    session = open_session(daemon.recording)
    try:
        recorded = session.events(0, 1_000_000)
    finally:
        session.close()
    assert [seq for seq, _ in recorded] == list(range(1, daemon.journal.seq + 1)), "every event is in the recording"
    assert not [event for _, event in recorded if isinstance(event, EventsDropped)]


async def test_killed_scheduler_is_noticed_told_and_replaced(daemon: Daemon, client: openai.AsyncOpenAI) -> None:
    assert (await daemon.command("quarantine", {"agent": "critic"}, why="test")).state == "done"
    await settled(daemon, lambda s: s.agents["critic"].quarantined)
    with pytest.raises(openai.PermissionDeniedError, match="quarantined"):
        await ask(client, "critic", "k", "hello")
    scheduler = _child(daemon, "sglang::scheduler")
    assert scheduler is not None
    before = daemon.state.totals.engine_starts
    long = asyncio.create_task(ask(client, "planner", "k", "count", max_tokens=900, extra_body={"min_tokens": 900}))
    await settled(daemon, lambda s: s.running > 0)
    main, restarts = psutil.Process(daemon.engine.status.pid), daemon.engine.status.restarts
    family = [main, *main.children(recursive=True)]
    os.kill(scheduler.pid, signal.SIGKILL)
    await settled(daemon, lambda _: daemon.engine.status.state != "ready", timeout_s=NOTICED_S)
    assert daemon.engine.url is None
    await settled(daemon, lambda _: daemon.engine.status.retry_in_s > 0)
    assert "scheduler" in daemon.engine.status.detail
    with pytest.raises(openai.APIStatusError) as lost:
        await long
    assert lost.value.status_code in (502, 503)
    await gone(family)
    await settled(daemon, lambda s: s.totals.engine_starts > before, timeout_s=120)
    await daemon.engine.wait_ready(120)
    assert daemon.engine.status.restarts == restarts + 1
    again = await ask(client, "planner", "k2", "hello again", extra_body={"min_tokens": 4})
    assert again.usage.completion_tokens == 4
    with pytest.raises(openai.PermissionDeniedError):
        await ask(client, "critic", "k2", "still?")
    await daemon.recorder.flush()
    session = open_session(daemon.recording)
    try:
        losses = [event for _, event in session.events(0, 1_000_000) if isinstance(event, EngineLost)]
    finally:
        session.close()
    assert losses, "the loss is in the recording, in words"


def _child(daemon: Daemon, name: str) -> psutil.Process | None:
    """A process below this one whose command line begins with `name` (SGLang renames its processes)."""
    for process in psutil.Process().children(recursive=True):
        words = process.cmdline()
        if words and (Path(words[0]).name == name or words[0].startswith(name)):
            return process
    return None
