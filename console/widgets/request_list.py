"""Requests as lines with their waterfall, drawn only when seen; moves and follows like the event log."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from radixdeck.policies.events import RequestArrived
from radixdeck.policies.residency import RequestView

from ..event_log import LogLine
from ..waterfall import cells, stages, total_s
from ..words import brief_id, clip, ratio, seconds, short, time_of_day
from .log_view import CURSOR_GROUND, FAINT, PLAIN, LogView

HEAD = f"{'arrived':<10}  {'agent':<16} {'prompt':>6} {'hit':>5} {'total':>7}  "
HURT_WIDTH = 14
SCALED_BY = 60
"""The longest of so many requests fills its line."""


def head_of(width: int) -> str:
    """What stands in the columns of a list of so many cells."""
    room = _bar_width(width)
    return f"{HEAD}{clip('where the time went', room):<{room}} pushed out by"


def _bar_width(width: int) -> int:
    """Cells of the waterfall in a list of so many."""
    return max(4, width - len(HEAD) - HURT_WIDTH)


def line_of(view: RequestView) -> LogLine:
    """A request as a line that can be searched: by agent, session, request, status, and who hurt it."""
    began_ns = view.arrived_ns or view.matched_ns
    text = f"{view.agent} {view.session} {view.rid} {view.finish} {view.status or ''} {view.hurt_by}"
    event = RequestArrived(t_ns=began_ns, rid=view.rid, agent=view.agent, session=view.session)
    return LogLine(began_ns, began_ns, "request", text, event)


class RequestList(LogView):
    """`░` queue, `█` prefill, `▓` first token, `▒` decode."""

    help_text = "░ queue, █ prefill, ▓ until the first token, ▒ decode; the longest of the last ones fills its line."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._views: dict[int, RequestView] = {}
        self._now_ns = 0
        self._longest_s = 0.0

    @property
    def request(self) -> RequestView | None:
        """The one under the cursor."""
        return self._views.get(self.selected.seq) if self.selected else None

    @property
    def requests(self) -> list[RequestView]:
        """What is listed now."""
        return [self._views[line.seq] for line in self.lines]

    def show_requests(self, views: Sequence[RequestView], query: str, now_ns: int) -> None:
        """Show these, the first one arrived at the top."""
        lines = [line_of(view) for view in views]
        self._views = {line.seq: view for line, view in zip(lines, views, strict=True)}
        self._now_ns = now_ns
        self._longest_s = max((total_s(view, now_ns) for view in views[-SCALED_BY:]), default=0.0)
        self.show(sorted(lines), query)

    def render_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if number >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        view = self._views[self._lines[number].seq]
        ground = CURSOR_GROUND if number == self.cursor and self.has_focus else self.rich_style.bgcolor
        plain, faint = Style(color=PLAIN, bgcolor=ground), Style(color=FAINT, bgcolor=ground)
        hit = ratio(view.cached_tokens, view.prompt_tokens)
        facts = (
            f"{clip(view.agent or '-', 16):<16} {short(view.prompt_tokens):>6} {hit:>5} "
            f"{seconds(total_s(view, self._now_ns)):>7}  "
        )
        bar = cells(stages(view, self._now_ns), _bar_width(width), self._longest_s)
        segments = [Segment(f"{time_of_day(view.arrived_ns or view.matched_ns):<10}  ", faint), Segment(facts, plain)]
        segments += [Segment(text, Style(color=colour, bgcolor=ground)) for text, colour in bar]
        segments.append(Segment(f" {clip(self._remark(view), HURT_WIDTH)}", faint))
        return Strip(segments).adjust_cell_length(width, plain)

    def _remark(self, view: RequestView) -> str:
        if view.warm:
            return "warm-up"
        if view.status >= 400 or view.finish == "error":
            return f"! {view.status}"
        return f"- {view.hurt_by}" if view.hurt_by else "" if view.finished_ns else "… running"


def request_words(view: RequestView) -> str:
    """Who asked what, in a line."""
    end = f"{view.finish or 'running'}" + (f", status {view.status}" if view.status not in (0, 200) else "")
    hurt = f"; it computed again what had gone for {view.hurt_by}" if view.hurt_by else ""
    pushed = f"; {view.evicted_tokens:,} tok had to go for it" if view.evicted_tokens else ""
    session = f" in {view.session}" if view.session else ""
    return f"{view.agent or 'nobody'}'s request {brief_id(view.rid)}{session}: {end}{hurt}{pushed}"
