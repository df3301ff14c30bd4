"""What the shadow and the curve have in common: a process that follows the recording, and is begun anew if it died."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from textual.binding import Binding

from .base import DeckScreen


class FollowingScreen(DeckScreen):
    """Opened over the policies. Draws what the process says, and says when there is none any more."""

    mode = "policies"
    BINDINGS = [
        Binding(
            "S,C",
            "begin_anew",
            show=False,
            key_display="S",
            tooltip="start it anew if its process has ended",
            id="view.anew",
        ),
    ]

    def on_mount(self) -> None:
        """Whoever opens it wants one that runs."""
        self._bury()

    def action_begin_anew(self) -> None:
        if not self._bury():
            self.notify("its process runs: there is nothing to start anew", timeout=4)
        self.refresh_state(tables=True)

    def action_stop(self) -> None:
        self.deck.shadows.stop()
        self.deck.pop_screen()

    def _bury(self) -> bool:
        dead = self.deck.shadows.bury()
        if dead:
            self.notify("its process had ended: started anew", timeout=4)
        return dead
