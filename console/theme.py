"""Colours of the console: a theme, and one colour and letter per agent that stay apart for colour-blind eyes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from textual.theme import Theme

WARNING_COLOUR = "#e69f00"

DECK = Theme(
    name="deck",
    primary="#56b4e9",
    secondary="#009e73",
    accent="#f0c94c",
    warning=WARNING_COLOUR,
    error="#e8684a",
    success="#35b98e",
    foreground="#d8dee6",
    background="#10141a",
    surface="#161c24",
    panel="#1f2732",
    dark=True,
    variables={"footer-key-foreground": "#f0c94c", "block-cursor-background": "#35506b"},
)

CONTRAST = Theme(
    name="deck-contrast",
    primary="#8fd3ff",
    secondary="#5ce0b0",
    accent="#ffe066",
    warning="#ffb84d",
    error="#ff8a70",
    success="#5ce0b0",
    foreground="#ffffff",
    background="#000000",
    surface="#0c0c0c",
    panel="#1c1c1c",
    dark=True,
    variables={"footer-key-foreground": "#ffe066", "block-cursor-background": "#35506b"},
)
THEMES = (DECK, CONTRAST)
"""Ours, beside those that come with Textual. Both keep colours apart for colour-blind eyes."""

AGENT_COLOURS = (
    "#56b4e9",
    "#e69f00",
    "#1fb58f",
    "#d98cb8",
    "#f0e05a",
    "#e0693a",
    "#7f9cf5",
    "#b5c98f",
    "#b9f8e3",
    "#50e3f8",
    "#a465f8",
    "#e3f8b9",
)
"""Okabe and Ito's set, lightened for a dark ground, then what stays furthest from it to colour-blind eyes too."""

SHARED_COLOUR = "#c9ced6"
UNOWNED_COLOUR = "#6b7480"
PENDING_COLOUR = "#4a5563"
GROUND = "#10141a"

NO_AGENTS = frozenset({"", "*"})
"""What stands in an agent's place without being one: requests of nobody (the engine's own), and 'too many to list'."""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class AgentMark(NamedTuple):
    """How one agent is drawn: `letter` (capital; lower case for its histories) and `colour` (#rrggbb)."""

    letter: str
    colour: str


def agent_marks(agents: Iterable[str]) -> dict[str, AgentMark]:
    """A mark per agent, in the given order: the first free letter of its own name, else of the alphabet, else digits.

    Marks depend only on the order, so a run and its recording show the same picture; from the 37th agent on letters
    repeat and the name in the detail panel decides.
    """
    taken: set[str] = set()
    marks: dict[str, AgentMark] = {}
    for index, agent in enumerate(agent for agent in agents if agent not in NO_AGENTS):
        wanted = [c for c in agent.upper() if c in _ALPHABET] + list(_ALPHABET) + list("0123456789")
        letter = next((c for c in wanted if c not in taken), "#")
        taken.add(letter)
        marks[agent] = AgentMark(letter, AGENT_COLOURS[index % len(AGENT_COLOURS)])
    return marks


def blend(colour: str, ground: str, share: float) -> str:
    """`share` of `colour` over `ground`, both #rrggbb."""
    pairs = zip((colour[1:3], colour[3:5], colour[5:7]), (ground[1:3], ground[3:5], ground[5:7]), strict=True)
    return "#" + "".join(f"{round(int(a, 16) * share + int(b, 16) * (1 - share)):02x}" for a, b in pairs)
