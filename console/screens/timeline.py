"""Mode 6: where in time this is: replay controls over a recording, the last minutes of a live run."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from ..event_log import newest
from ..export import log_jsonl
from ..feed import ReplayFeed
from ..fleet_state import NodeState
from ..rates import hit_series
from ..widgets.panel import Panel
from ..words import clip, clock, command_line, ratio, spark, time_of_day
from .base import DeckScreen

LIVE_SPAN_S = 600.0


def squeezed(counts: list[int], width: int) -> list[float]:
    """The same counts in `width` places: sums of neighbours, or repeats where there are more places than counts."""
    if not counts or width <= 0:
        return []
    if width >= len(counts):
        return [float(counts[place * len(counts) // width]) for place in range(width)]
    sums = [0.0] * width
    for place, number in enumerate(counts):
        sums[place * width // len(counts)] += number
    return sums


def signs(replay: ReplayFeed, width: int) -> str:
    """One character per place: the mark that matters most there, a fault over a bookmark over orders."""
    line = [" "] * width
    span_ns = max(1, replay.last_ns - replay.first_ns)
    rank = " ~*b!"
    for t_ns, sign in (*replay.strip.marks, *((t_ns, "b") for t_ns in replay.bookmarks.times)):
        place = (t_ns - replay.first_ns) * (width - 1) // span_ns
        if 0 <= place < width and rank.index(sign) > rank.index(line[place]):
            line[place] = sign
    return "".join(line)


class Strip(Static):
    """Events over time as blocks with the present place marked; a click asks for a place."""

    class Sought(Message):
        """Somebody clicked at a share of the strip, 0 to 1."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is not None and self.content_size.width > 1:
            self.post_message(self.Sought(place.x / (self.content_size.width - 1)))


class TimelineScreen(DeckScreen):
    """The only screen that knows whether it shows a recording."""

    mode = "timeline"
    help_text = (
        "Blocks show how much happened when. In a recording: space plays and pauses, [ ] go one event, { } ten "
        "seconds, m M one minute, - + change the speed, g and G go to the ends, : asks for a time, i skips stretches "
        "in which nothing happens; a click on the blocks goes there. . and , jump to the next and the last eviction "
        "that hurt, J chooses what else they look for, B sets a bookmark, kept beside the recording. These keys "
        "work on every screen."
    )

    def body(self) -> Iterable[Widget]:
        yield Strip(id="strip")
        yield Panel(id="timeline-words", markup=False)
        yield Panel(id="timeline-log")

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if self.deck.replay is not None:
            self._show_replay(self.deck.replay)
        elif tables:
            self._show_live(entry)
        if tables:
            self._show_log(entry)

    def on_strip_sought(self, message: Strip.Sought) -> None:
        replay = self.deck.replay
        if replay is not None:
            replay.seek(replay.first_ns + int(message.share * (replay.last_ns - replay.first_ns)))

    def export(self) -> tuple[str, str]:
        """The events up to here, as `radixdeck tail` prints them."""
        return "jsonl", log_jsonl(self.entry.log if self.entry else ())

    def copied(self) -> str:
        """Where this is, and the last events."""
        return self.words_in("#timeline-words", "#timeline-log")

    def _show_replay(self, replay: ReplayFeed) -> None:
        strip = self.query_one(Strip)
        width = max(10, strip.content_size.width)
        share = (replay.position_ns - replay.first_ns) / max(1, replay.last_ns - replay.first_ns)
        place = min(width - 1, round(share * (width - 1)))
        blocks = spark(squeezed(replay.strip.density, width))
        marker = f"{' ' * place}▲"
        passed = (blocks[:place], "$secondary")
        strip.update(
            Content.assemble(passed, (blocks[place], "bold reverse $accent"), blocks[place + 1 :], "\n",
                             (signs(replay, width), "$warning bold"), "\n", (marker, "$accent bold"))
        )  # fmt: skip
        strip.border_title = "recording: how much happened when; ~ policy, * order, ! fault, b bookmark"
        self.query_one("#timeline-words", Static).update(self._position(replay))

    def _position(self, replay: ReplayFeed) -> str:
        state = "playing" if replay.playing else "paused"
        here, whole = replay.position_ns - replay.first_ns, replay.last_ns - replay.first_ns
        skip = "skipping idle time" if replay.skip_idle else "idle time at full length"
        return (
            f"{state} at {replay.speed:g}x, {clock(here / 1e9)} of {clock(whole / 1e9)} ({ratio(here, whole)}), "
            f"{time_of_day(replay.position_ns)} UTC, {skip}\n"
            f"space play/pause   [ ] event   {{ }} 10 s   m M 1 min   - + speed   g G ends   : go to   i skip idle\n"
            f", . jump to: {replay.sort}   J another sort   B bookmark ({len(replay.bookmarks.times)} set)"
        )

    def _show_live(self, entry: NodeState) -> None:
        strip = self.query_one(Strip)
        width = max(10, strip.content_size.width)
        now_ns = self.deck.fleet.now_ns(entry)
        counts = entry.log.density(now_ns - int(LIVE_SPAN_S * 1e9), now_ns, width)
        hits = [value or 0.0 for value in hit_series(entry.run, now_ns, width, LIVE_SPAN_S / width)]
        strip.border_title = f"events and hit rate, the last {LIVE_SPAN_S / 60:.0f} minutes"
        strip.update(Content.assemble((spark([float(c) for c in counts]), "$secondary"), "\n", spark(hits, top=1.0)))
        recording = entry.status.recording if entry.status else ""
        where = f"It is being recorded; replay it with:\n{command_line('replay', recording)}" if recording else ""
        self.query_one("#timeline-words", Static).update(f"This run is live. {where}")

    def _show_log(self, entry: NodeState) -> None:
        panel = self.query_one("#timeline-log", Static)
        width, height = panel.content_size
        panel.border_title = "up to here"
        shown = [
            f"{time_of_day(line.t_ns)} {clip(line.text, max(10, width - 11))}"
            for line in newest(entry.log, max(1, height))
        ]
        panel.update(Content("\n".join(shown) or "nothing yet"))
