"""The recording of a run goes on in its next file while a shadow follows it: the shadow goes on with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from scenario import NODE, RUN
from several_files import turned_behind
from shadow_stage import messages, open_shadow, record, served_events
from staging import ScriptedFeed, drawn, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed_messages import NodeStatus
from radixdeck.console.shadow_run import Choice, Shadow
from radixdeck.daemon.wire import Status
from radixdeck.policies import events as ev
from radixdeck.storage.files import RunInfo

CHOICE = Choice("lru", "kv_caching")


def about() -> RunInfo:
    return RunInfo(RUN, NODE, served_events()[0].t_ns, "0.1.0", "m", {})


def followed(shadow: Shadow) -> Shadow:
    """Read to the end of what there is, twice: at the end of a file it rests."""
    for _ in range(2):
        while shadow.step():
            pass
    shadow.close()
    assert not shadow.trouble
    return shadow


def test_it_counts_as_over_one_file(tmp_path: Path) -> None:
    """The file turns while a request is in its prefill. What kv_caching learns of the first prompts in the next file is
    a little less: they are told whole."""
    half = next(n for n, event in enumerate(served_events(), 1) if n > 300 and isinstance(event, ev.PrefixMatched))
    first, second = asyncio.run(turned_behind(tmp_path, served_events(), about(), half))
    whole, turned = followed(Shadow(record(tmp_path / "whole.db"), CHOICE)), followed(Shadow(first, CHOICE))
    assert turned.path == second
    assert turned.view is not None
    assert whole.view is not None
    assert turned.view._replace(sides=turned.view.sides[:1]) == whole.view._replace(sides=whole.view.sides[:1])
    assert turned.view.sides[1].requests == whole.view.sides[1].requests == 80
    assert turned.words == whole.words == "following from event 1"


def test_where_events_are_missing_between_the_files_it_begins_anew(tmp_path: Path) -> None:
    first, second = asyncio.run(turned_behind(tmp_path, served_events(), about(), 300))
    _, later = asyncio.run(turned_behind(tmp_path / "other", served_events(), about(), 310))
    later.rename(second)
    shadow = followed(Shadow(first, CHOICE))
    assert shadow.view is not None
    assert shadow.view.requests < 80
    assert shadow.words == "following from event 311"


async def test_a_console_keeps_it_and_its_process(tmp_path: Path) -> None:
    first, second = await turned_behind(tmp_path, served_events(), about(), 300)
    feed = ScriptedFeed(messages(first))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await open_shadow(pilot)
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert shadow is not None
        pid = shadow.pid
        feed.tell(NodeStatus(NODE, Status(node=NODE, online=True, run=RUN, state="ready", recording=str(second))))
        await until(pilot, lambda: app.fleet.nodes[NODE].status.recording == str(second))
        await until(pilot, lambda: shadow.view is not None and shadow.view.requests == 80)
        assert "following from event 1" in await drawn(pilot)
        assert app.shadows.of(app.fleet.nodes[NODE]) == (shadow, "")
        assert shadow.pid == pid
