"""Mode 8: every request and where its time went."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Static

from radixdeck.policies.residency import RequestView

from ..causes import chain
from ..commands import Target
from ..export import as_jsonl
from ..fleet_state import NodeState
from ..waterfall import stage_words
from ..widgets.filter_bar import FilterBar
from ..widgets.panel import Panel
from ..widgets.request_list import RequestList, head_of, request_words
from ..widgets.same_title import Frame
from ..words import plain
from .base import ActingScreen
from .chain import ChainScreen
from .filtering import FilteringScreen, filter_key


class RequestsScreen(FilteringScreen, ActingScreen):
    """The last requests as waterfalls; below, the one under the cursor stage by stage."""

    mode = "requests"
    help_text = (
        "One line per request, the newest at the end (the last 500 are kept): when it arrived, whose it is, how much "
        "of its prompt was cached, how long it took and where the time went. - names whose request had pushed out what "
        "it computed again; enter follows that to its cause. / filters, f keeps only those that were hurt."
    )
    BINDINGS = [
        Binding("enter", "follow", "cause", tooltip="from what it computed again to the cause", id="view.cause"),
        filter_key("only requests with a text"),
        Binding(
            "f", "hurt", "hurt only", id="view.hurt", tooltip="only requests that computed again what had been evicted"
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._hurt_only = False

    def body(self) -> Iterable[Widget]:
        with Frame(id="requests-side"):
            yield Panel(id="requests-head", markup=False)
            yield RequestList(id="requests")
        yield Panel(id="request-words", markup=False)
        yield FilterBar()

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        wanted = self._query.lower().strip()
        views = [view for view in entry.run.requests.values() if self._is_wanted(view, wanted)]
        shown = self.query_one(RequestList)
        shown.show_requests(views, self._query, self.deck.fleet.now_ns(entry))
        found = f" with '{plain(self._query)}'" if wanted else ""
        hurt = ", only those that were hurt" if self._hurt_only else ""
        self.query_one("#requests-head", Static).update(head_of(shown.scrollable_content_region.width))
        self.query_one(
            "#requests-side"
        ).border_title = f"{len(views)} of the last {len(entry.run.requests)} requests{found}{hurt}"
        self._show_words(entry)

    def target(self) -> Target | None:
        request = self.query_one(RequestList).request
        return self.agent_target(request.agent) if request else None

    def export(self) -> tuple[str, str]:
        """The requests that are listed, every field of them."""
        return "jsonl", as_jsonl(self.query_one(RequestList).requests)

    def copied(self) -> str:
        """The selected request with its stretches."""
        request, entry = self.query_one(RequestList).request, self.entry
        if request is None or entry is None:
            return ""
        return "\n".join([request_words(request), *stage_words(request, self.deck.fleet.now_ns(entry))])

    def action_follow(self) -> None:
        request, entry = self.query_one(RequestList).request, self.entry
        hurts = [hurt for hurt in entry.run.hurts if request and hurt.rid == request.rid] if entry else []
        if not hurts or entry is None:
            self.notify("no eviction hurt this request", severity="warning", timeout=4)
            return
        costliest = max(hurts, key=lambda hurt: hurt.tokens)
        self.deck.push_screen(ChainScreen(self.mode, entry, chain(costliest, entry.run, entry.log), costliest.agent))

    def action_hurt(self) -> None:
        self._hurt_only = not self._hurt_only
        self.refresh_state(tables=True)

    def on_log_view_line_selected(self) -> None:
        if self.entry is not None:
            self._show_words(self.entry)

    def _is_wanted(self, view: RequestView, wanted: str) -> bool:
        if not (view.arrived_ns or view.matched_ns) or (self._hurt_only and not view.hurt_by):
            return False
        return not wanted or wanted in f"{view.agent} {view.session} {view.rid} {view.finish} {view.hurt_by}".lower()

    def _show_words(self, entry: NodeState) -> None:
        panel = self.query_one("#request-words", Static)
        panel.border_title = "selected request"
        request = self.query_one(RequestList).request
        if request is None:
            panel.update("no request")
            return
        lines = stage_words(request, self.deck.fleet.now_ns(entry))
        panel.update("\n".join([request_words(request), *lines]))
