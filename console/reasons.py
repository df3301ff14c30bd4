"""Why an order is given: what an operator said, else what the console showed of the agent it is about."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from .commands import Order
from .dialogs import Ask
from .fleet_state import NodeState
from .key_words import called
from .trends import recent_blame, trouble, trouble_words
from .words import clip, printable

if TYPE_CHECKING:
    from .app import ConsoleApp

MOST = 200
"""Characters of a reason."""


def why_of(ordered: Order, said: str, entry: NodeState, now_ns: int) -> str:
    """What is recorded with an order. `said`: what holds for all orders until it is changed."""
    return clip("; ".join(part for part in (said, ordered.why or _shown(ordered, entry, now_ns)) if part), MOST)


def _shown(ordered: Order, entry: NodeState, now_ns: int) -> str:
    """How much worse off than usual the agent was, whose evictions it was because of, or who is worst off."""
    found = trouble(entry.run, now_ns)
    agent = ordered.arguments.get("agent")
    about = [one for one in found if agent in (one.agent, recent_blame(entry.run, one.agent, now_ns))]
    if agent is None and "node" not in ordered.arguments:
        about = found
    return f"seen: {trouble_words(about[0], recent_blame(entry.run, about[0].agent, now_ns))}" if about else ""


def read_reason(text: str) -> str:
    """A reason as it was typed; nothing takes the former one back."""
    return clip(printable(text.strip()), MOST)


def ask_reason(app: ConsoleApp) -> None:
    """Ask for a reason, and keep it for whatever is ordered from now on."""

    def answered(reason: str | None) -> None:
        if reason is not None:
            app.reason = reason
            key = called(app, "app.why", "W")
            said = f"recorded with every order until {key} changes it: {reason}" if reason else "no reason is recorded"
            app.notify(said, timeout=4, markup=False)

    listed = called(app, "app.undo", "U")
    doc = f"Recorded with every order from now on, and listed under {listed}, until you change it. Empty: none."
    app.push_screen(Ask("Why do you do this?", app.reason, doc, read_reason), answered)
