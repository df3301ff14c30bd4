"""Over the policies: what more or less KV memory would bring, from one run over the stream, with the live point."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Static

from radixdeck.storage.miss_ratio import SIZES, Curve

from ..curve import draw, words
from ..export import as_csv
from ..fleet_state import NodeState
from ..shadow_run import Choice
from ..shadow_worker import Followed
from ..widgets.panel import Panel
from .base import back_key
from .following import FollowingScreen


class CurveScreen(FollowingScreen):
    """Starts following the recording if nothing does yet; a shadow that runs has the curve already."""

    help_text = (
        "Columns: the hit rate of plain LRU in a quarter to four times the KV memory, of the last requests, from the "
        "distances at which their prefixes come back. The mark is what is really served. Another policy has another "
        "curve: it can be above LRU's with the same memory. Joined in mid-run, a size is known once as much was "
        "computed as it holds. escape goes back, the counting goes on; x stops it, and a shadow with it."
    )
    BINDINGS = [
        Binding("x", "stop", "stop", tooltip="stop counting, and the shadow if one runs, and go back", id="view.stop"),
        back_key("back; the counting goes on"),
    ]

    def body(self) -> Iterable[Widget]:
        yield Panel(id="curve-words", markup=False)
        yield Panel(id="curve-chart")
        yield Panel(id="curve-state", markup=False)

    def copied(self) -> str:
        """What is written of it."""
        return self.words_in("#curve-words", "#curve-state")

    def export(self) -> tuple[str, str]:
        """The points of the curve."""
        curve = curve_of(self.deck.shadows.of(self.entry)[0]) if self.entry is not None else None
        rows: list[list[str]] = []
        if curve is not None:
            rows = [[f"{times:g}", str(round(times * curve.kv_tokens)), _exact(curve.at(times))] for times in SIZES]
        return "csv", as_csv(["times_the_memory", "kv_tokens", "hit_rate"], rows)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        if not tables:
            return
        shadow, why = self.deck.shadows.of(entry)
        if shadow is None:
            self.deck.shadows.want(self.deck, entry, Choice(""))
            shadow, why = self.deck.shadows.of(entry)
        state = self.query_one("#curve-state", Static)
        state.update(shadow.told if shadow is not None else why)
        chart = self.query_one("#curve-chart", Static)
        chart.border_title = "hit rate over KV memory, plain LRU"
        curve = curve_of(shadow)
        if curve is None:
            self.query_one("#curve-words", Static).update("not enough requests counted yet")
            return
        self.query_one("#curve-words", Static).update(words(curve))
        width, height = chart.content_size
        if width > 20 and height > 3:
            chart.update(draw(curve, width, height))


def _exact(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.4f}"


def curve_of(shadow: Followed | None) -> Curve | None:
    """What a shadow has counted, once there is anything."""
    return shadow.view.curve if shadow is not None and shadow.view is not None else None
