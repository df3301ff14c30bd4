"""What an anchor says goes to whoever may keep it, and into no fact that is published."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from front_harness import Upstream, serving

from radixdeck.daemon.anchors import AnchorBook, head_text
from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.config import DaemonConfig, load_config
from radixdeck.daemon.paths import home_of
from radixdeck.daemon.runtime import Daemon
from radixdeck.daemon.wire import BrokerAddress
from radixdeck.policies import events as ev
from radixdeck.policies.identity.who import Who
from radixdeck.storage.anchor_text import AnchorText

TOOL = {"type": "function", "function": {"name": "search"}}
BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "You plan. Door code 4711."},
        {"role": "user", "content": "hello there"},
    ],
    "tools": [TOOL],
}


async def test_text_goes_to_its_keeper_and_into_no_fact() -> None:
    kept: list[AnchorText] = []
    there = asyncio.Event()

    def keep(text: AnchorText) -> None:
        kept.append(text)
        there.set()

    facts: list[ev.EngineEvent] = []
    async with serving(Upstream()) as upstream, aiohttp.ClientSession() as session:
        book = AnchorBook(upstream=lambda: upstream.url, hint=facts.append, now_ns=now_ns, keep=keep)
        book.start(session)
        book.note(Who(agent="planner", session="s", fingerprint="f1"), "/v1/chat/completions", BODY, None)
        async with asyncio.timeout(10):
            await there.wait()
        await book.stop()
    (text,), (fact,) = kept, facts
    assert isinstance(fact, ev.AnchorMeasured)
    assert (text.agent, text.fingerprint, text.tokens, text.at_ns) == ("planner", "f1", fact.tokens, fact.t_ns)
    assert text.text.startswith("[system]\nYou plan. Door code 4711.\n\n[tools]\n[")
    assert '"name": "search"' in text.text
    assert "hello" not in text.text, "what a user says is no part of an anchor"
    assert b"4711" not in ev.encode(fact)


async def test_a_version_that_is_back_is_the_agents_anchor_again() -> None:
    """Not yet at its first sight: two versions may take turns."""
    versions = {"f1": BODY, "f2": {**BODY, "messages": [{"role": "system", "content": "Plan well, and at length."}]}}
    facts: asyncio.Queue[ev.EngineEvent] = asyncio.Queue()
    async with serving(Upstream()) as upstream, aiohttp.ClientSession() as session:
        book = AnchorBook(upstream=lambda: upstream.url, hint=facts.put_nowait, now_ns=now_ns)
        book.start(session)

        async def sent(version: str, *, is_measured: bool) -> str:
            who = Who(agent="planner", session="s", fingerprint=version)
            book.note(who, "/v1/chat/completions", versions[version], None)
            if is_measured:
                async with asyncio.timeout(10):
                    await facts.get()
            anchor = book.get("planner")
            return anchor.fingerprint if anchor else ""

        assert await sent("f1", is_measured=True) == "f1"
        assert await sent("f2", is_measured=False) == "f1"
        assert await sent("f2", is_measured=True) == "f2"
        for version in ("f1", "f2", "f1", "f1"):
            assert await sent(version, is_measured=False) == "f2"
        assert await sent("f1", is_measured=True) == "f1"
        await book.stop()
        assert facts.empty()


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_daemon_hands_text_on_only_where_it_records_it(wanted: bool, tmp_path: Path) -> None:
    broker = BrokerAddress(host="127.0.0.1", port=1)
    config = DaemonConfig(node="bare", home=str(tmp_path), record_anchors=wanted)
    daemon = Daemon(config, home_of(config.home), broker)
    assert (daemon.anchors._keep is not None) == wanted
    await daemon.recorder.close()


def test_text_of_a_list_of_parts_and_without_tools() -> None:
    parts = [{"type": "text", "text": "You "}, {"type": "text", "text": "plan."}]
    assert head_text({"messages": [{"role": "developer", "content": parts}]}) == "[developer]\nYou plan."


def test_it_is_kept_only_where_somebody_says_so(tmp_path: Path) -> None:
    assert not DaemonConfig().record_anchors
    (tmp_path / "radixdeck.toml").write_text("record_anchors = true\n")
    assert load_config(tmp_path / "radixdeck.toml").record_anchors
