"""One agent in full, opened over another screen: how it fared over time, what it lost to whom, what comes next."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from radixdeck.policies.residency import AgentStats, RunState

from ..agent_facts import facts, identity_lines, name_of, sessions_of
from ..blindness import unseen_since
from ..causes import chain
from ..charts import SCALE_WIDTH, axis, chart
from ..commands import Target
from ..export import as_csv
from ..fleet_state import NodeState
from ..forecast import forecast
from ..matrix import bars
from ..trends import hit_of, resampled, total, trouble, trouble_words, ttft_of
from ..victim_order import Queue
from ..widgets.panel import Panel
from ..words import plain, ratio, seconds, short, time_of_day
from .anchor import AnchorScreen
from .base import ActingScreen, back_key
from .chain import ChainScreen

SPANS_S = (300.0, 900.0, 3600.0, 60.0)
SHORTEST_S = 30.0
MOMENT_TITLES = ("utc_s", "span_s", "requests", "prompt_tokens", "cached_tokens", "answers", "ttft_sum_s", "hurt")
VIEWS = 3
"""Panels of which one is shown beside the facts, where there is room for one."""


class AgentScreen(ActingScreen):
    """Follows one agent of the daemon looked at."""

    mode = "agents"
    help_text = (
        "Hit rate and time to first token of one agent over the last minutes (z: another span), what it lost to whom "
        "and what it made others lose; whether it will find its anchor: when it is due, by the gaps between its last "
        "requests, and when the anchor's turn to go comes at the present pace; its tools, and its sessions with what "
        "they hold and the agent that is expected next. Where there is no room for all, v turns from one of these to "
        "the next. "
        "a reads its anchor. enter follows its last eviction that hurt to the cause; escape goes back. w p t e b Q "
        "act on it."
    )
    BINDINGS = [
        Binding("v", "view", "view", tooltip="evictions, forecast or sessions, where there is no room for all",
                id="view.panel"),
        Binding("a", "anchor", "anchor", show=False, tooltip="the text of its anchor", id="view.anchor"),
        Binding("z", "span", "span", tooltip="another span of time", id="view.span"),
        Binding("enter", "follow", "cause", tooltip="from its last eviction that hurt to what caused it",
                id="view.cause"),
        back_key(),
    ]  # fmt: skip

    VERTICAL_BREAKPOINTS = [(0, "-flat"), (16, "-short"), (38, "-middle"), (45, "-tall")]
    """Four panels below one another need more rows than other screens do."""

    def __init__(self, agent: str, mode: str = "agents") -> None:
        super().__init__()
        self._agent, self._opened_from = agent, mode
        self._span = 0

    @property
    def shown_mode(self) -> str:
        return self._opened_from

    def body(self) -> Iterable[Widget]:
        yield Panel(id="agent-verdict", markup=False)
        with Horizontal(id="agent-page"):
            with Vertical(id="agent-charts"):
                yield Panel(id="hit-chart")
                yield Panel(id="ttft-chart")
            with Vertical(id="agent-side"):
                yield Panel(id="agent-facts", markup=False)
                yield Panel(id="agent-harm")
                yield Panel(id="agent-forecast", markup=False)
                yield Panel(id="agent-sessions", markup=False)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        stats = entry.run.agents.get(self._agent)
        if not tables:
            return
        if stats is None:
            self._show_nothing()
            return
        now_ns = self.deck.fleet.now_ns(entry)
        found = [one for one in trouble(entry.run, now_ns) if one.agent == self._agent]
        words = trouble_words(found[0]) if found else f"{name_of(stats)} is not worse off than usual"
        verdict = self.query_one("#agent-verdict", Static)
        verdict.update(words + (f"; cache {unseen_since(entry.run)}" if entry.run.blind else ""))
        verdict.set_class(not found and not entry.run.blind, "-calm")
        self._show_charts(entry.run, now_ns)
        self._show_side(entry, stats, now_ns)

    def target(self) -> Target | None:
        return self.agent_target(self._agent)

    def export(self) -> tuple[str, str]:
        """Its requests over time, as the charts are drawn from them."""
        trend = self.entry.run.trends.get(self._agent, []) if self.entry else []
        rows = [[str(value) for value in (one.t_s, one.span_s, one.requests, one.prompt_tokens, one.cached_tokens,
                                          one.answers, round(one.ttft_s, 4), one.hurt)] for one in trend]  # fmt: skip
        return "csv", as_csv(MOMENT_TITLES, rows)

    def copied(self) -> str:
        """What is written of it, without the charts."""
        return self.words_in("#agent-verdict", "#agent-facts", "#agent-forecast", "#agent-sessions")

    def action_anchor(self) -> None:
        self.deck.push_screen(AnchorScreen(self._agent, self._opened_from))

    def action_span(self) -> None:
        self._span = (self._span + 1) % len(SPANS_S)
        self.refresh_state(tables=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where there is room for all there is nothing to turn."""
        if action == "view":
            return self.has_class("-narrow") or self.has_class("-short")
        return super().check_action(action, parameters)

    def action_view(self) -> None:
        self.turn("view", VIEWS)

    def action_follow(self) -> None:
        entry = self.entry
        last = next((hurt for hurt in reversed(entry.run.hurts) if hurt.agent == self._agent), None) if entry else None
        if entry is None or last is None:
            self.notify("no eviction has hurt this agent lately", severity="warning", timeout=4)
            return
        self.deck.push_screen(ChainScreen(self._opened_from, entry, chain(last, entry.run, entry.log), self._agent))

    def _show_nothing(self) -> None:
        """Of an agent that is not known here: what was told of it before is of another moment, or of another daemon."""
        for panel in self.query(Panel):
            panel.border_title = panel.border_subtitle = ""
            panel.update("")
        self.query_one("#agent-verdict", Static).update(f"{self._agent} is not known in this run")

    def _show_charts(self, run: RunState, now_ns: int) -> None:
        now_s = now_ns / 1e9
        moments = run.trends.get(self._agent, [])
        span_s = min(SPANS_S[self._span], max(SHORTEST_S, now_s - moments[0].t_s)) if moments else SHORTEST_S
        within = total(moment for moment in moments if moment.t_s + moment.span_s > now_s - span_s)
        hit, ttft_s = hit_of(within), ttft_of(within)
        for panel_id, title, value, top, word, style in (
            ("#hit-chart", f"hit rate {ratio(hit, 1) if hit is not None else '-'}", hit_of, 1.0, _percent, "$success"),
            ("#ttft-chart", f"first token {seconds(ttft_s) if ttft_s else '-'}", ttft_of, 0.0, seconds, "$warning"),
        ):  # fmt: skip
            panel = self.query_one(panel_id, Static)
            width, height = panel.content_size
            panel.border_title = f"{title}, last {seconds(span_s)}"
            places = width - SCALE_WIDTH
            if places > 0 and height > 1:
                values = spread([value(one) for one in resampled(moments, now_s - span_s, now_s, places)])
                drawn = chart(values, height - 1, word, top=top, style=style)
                ends = axis(f"{seconds(span_s)} ago", time_of_day(now_ns), places)
                panel.update(Content("\n").join([drawn, ends]))

    def _show_side(self, entry: NodeState, stats: AgentStats, now_ns: int) -> None:
        panel = self.query_one("#agent-facts", Static)
        panel.border_title = plain(name_of(stats))
        anchor_key = plain(self.key("view.anchor", "a"))
        # Where the sessions are in sight, it is said there.
        turned = self.has_class("-narrow") or self.has_class("-short")
        panel.border_subtitle = f"{anchor_key}: the text of its anchor" if turned else ""
        panel.update("\n".join(facts(stats, entry.run)))
        self.query_one("#agent-harm", Static).border_title = "evicted nodes that hurt"
        self.query_one("#agent-harm", Static).update(self._harm(entry, stats))
        ahead = self.query_one("#agent-forecast", Static)
        ahead.border_title = "will it find its anchor?"
        queue = Queue(entry.run, entry.table.scores if entry.table else ())
        ahead.update("\n".join(forecast(entry.run, entry.table, queue, self._agent, now_ns)))
        self._show_sessions(entry.run, stats, now_ns)

    def _show_sessions(self, run: RunState, stats: AgentStats, now_ns: int) -> None:
        panel = self.query_one("#agent-sessions", Static)
        panel.border_title = "tools, sessions and who is expected next"
        who = identity_lines(stats, self.key("view.anchor", "a"))
        width, height = panel.content_size
        lines = sessions_of(run, self._agent, now_ns, max(1, height - len(who)), width)
        panel.update("\n".join([*who, *(lines or ["no session is at this agent now"])]))

    def _harm(self, entry: NodeState, stats: AgentStats) -> Content:
        """What it lost to whom, and what others lost to it, as bars."""
        width = self.query_one("#agent-harm", Static).content_size.width
        lost = dict(stats.evicted_by)
        took = {other.agent: other.evicted_by[self._agent] for other in entry.run.agents.values()
                if self._agent in other.evicted_by}  # fmt: skip
        top = max([*lost.values(), *took.values()], default=0)
        blocks: list[Content] = []
        for title, values in (("lost to", lost), ("taken from", took)):
            blocks.append(Content.styled(title, "bold"))
            blocks.append(bars(values, entry.marks, width, short, top=top) if values else Content("nobody"))
        return Content("\n").join(blocks)


def spread(values: list[float | None]) -> list[float | None]:
    """Each value also in the empty places after it, up to the next, where moments are wider than places: at most a
    handful, so that real pauses stay blank."""
    widest = 6
    filled: list[float | None] = []
    last, age = None, 0
    for value in values:
        last, age = (value, 0) if value is not None else (last, age + 1)
        filled.append(last if age < widest else None)
    return filled


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
