"""The legend under the map: its signs are there on the smallest screen too, and none is torn from its word."""

from __future__ import annotations

import pytest
from scenario import ANCHORS, folded, run_events
from staging import LARGE, SMALL, ScriptedFeed, console, drawn, keyframe, status
from textual.content import Content

from radixdeck.console.feed_messages import Connection, FeedMessage
from radixdeck.console.flashes import EVICTED, FROM_HOST, GLYPHS
from radixdeck.console.node_words import in_lines

SIGNS = ["+  shared", "░ running", *(f"{glyph} {word}" for glyph, word in GLYPHS.items())]


def with_a_host_tier() -> list[FeedMessage]:
    state = folded(run_events())
    state.host_capacity_tokens = 8_000
    return [Connection(True), status(), keyframe(state, len(run_events()))]


@pytest.mark.parametrize("size", [SMALL, (100, 30), LARGE])
async def test_every_sign_is_told_whole_before_the_agents(size: tuple[int, int]) -> None:
    async with console(size, ScriptedFeed(with_a_host_tier())) as pilot:
        await pilot.press("2")
        text = await drawn(pilot)
        places = [text.find(sign) for sign in SIGNS]
        assert -1 not in places
        agents = [text.find(f" {letter}  {agent} ") for letter, agent in zip("PCRTWS", ANCHORS, strict=True)]
        assert max(places) < min(place for place in agents if place >= 0)
        assert sum(place >= 0 for place in agents) >= (4 if size == SMALL else 6)


def test_an_entry_stays_on_one_line() -> None:
    entries = [Content(f"{EVICTED} evicted"), Content(f"{FROM_HOST} from host"), Content("much too long for it")]
    assert [line.plain for line in in_lines(entries, 12)] == [entry.plain for entry in entries]
    assert [line.plain for line in in_lines(entries, 22)] == [
        f"{EVICTED} evicted  {FROM_HOST} from host",
        entries[2].plain,
    ]
    assert in_lines([], 12) == []
