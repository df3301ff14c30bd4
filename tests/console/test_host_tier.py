"""The tier below: said to be unknown where nothing tells of one, and in numbers where events do."""

from __future__ import annotations

from scenario import run_events
from staging import SMALL, ScriptedFeed, batch, console, drawn, live_messages

from radixdeck.policies import events as e

EVENTS = run_events()


async def test_the_residency_screen_tells_of_no_tier_that_it_does_not_know() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(SMALL, feed) as pilot:
        await pilot.press("2")
        assert "device memory; no host tier known" in await drawn(pilot)
        t_ns, node = EVENTS[-1].t_ns + 1, 66
        feed.tell(batch([
            e.NodeEvicted(t_ns=t_ns, node=node, tokens=240, start=400, to_host=True),
            e.PrefixMatched(t_ns=t_ns, rid="h", agent="writer", session="s2", prompt_tokens=900, cached_tokens=404,
                            host_tokens=200),
        ], len(EVENTS) + 1))  # fmt: skip
        assert "host tier: 240 tok moved there, 200 tok found there lately" in await drawn(pilot)
