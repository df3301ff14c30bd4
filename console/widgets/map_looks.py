"""How a node is drawn on the map and in the tree: its letter, its colours, and what just happened to it."""

from __future__ import annotations

from typing import NamedTuple

from radixdeck.policies.residency import NodeView

from ..cache_map import PENDING
from ..theme import GROUND, PENDING_COLOUR, SHARED_COLOUR, UNOWNED_COLOUR, WARNING_COLOUR, AgentMark, blend
from ..tiers import BEYOND
from ..words import clip

FREE_GROUND = "#161c24"
SHADE_COLOUR = "#e6c84b"
CAME_COLOUR = "#ffffff"


class Look(NamedTuple):
    """How the cells of a node are drawn. `sign`: what the first one carries instead, '' for nothing."""

    char: str
    colour: str
    ground: str
    bold: bool = False
    sign: str = ""


def look_of(view: NodeView | None, node: int, marks: dict[str, AgentMark], *, odd: bool, sign: str = "") -> Look:
    """How a node is drawn. `odd` tells it from an equal-looking neighbour by a shade."""
    if node == PENDING:
        return Look("░", PENDING_COLOUR, FREE_GROUND)
    if node == BEYOND:
        return Look("▒", UNOWNED_COLOUR, FREE_GROUND)
    if view is None:
        return Look(" ", UNOWNED_COLOUR, FREE_GROUND)
    mark = marks.get(view.agents[0]) if len(view.agents) == 1 else None
    if mark is None:
        colour, char = (SHARED_COLOUR, "+") if view.agents else (UNOWNED_COLOUR, "·")
        return Look(char, colour, blend(colour, GROUND, 0.24 if odd else 0.3), bool(view.agents), sign)
    if view.role == "private":
        ground = blend(mark.colour, GROUND, 0.24 if odd else 0.14)
        return Look(mark.letter.lower(), mark.colour, ground, sign=sign)
    char = mark.letter if view.role == "anchor" else "+" if view.role == "shared" else "·"
    return Look(char, GROUND, blend(mark.colour, GROUND, 0.82 if odd else 1.0), True, sign)


def shaded(shade: int, *, odd: bool, sign: str) -> Look:
    """How a node is drawn by a number: the larger, the darker."""
    ground = blend(SHADE_COLOUR, GROUND, max(0.08, 0.9 - 0.09 * shade - 0.06 * odd))
    return Look(str(shade), GROUND if shade < 5 else SHADE_COLOUR, ground, sign=sign)


def rule_look(words: str, width: int) -> Look:
    """The line between the tiers, with what it says."""
    return Look("─", UNOWNED_COLOUR, GROUND, sign=clip(words, width))


def gone_look(glyph: str) -> Look:
    """The place of a node that has just left: empty ground, whatever colour it had."""
    return Look(glyph, WARNING_COLOUR, FREE_GROUND, True)


def shared_look(glyph: str, look: Look) -> Look:
    """The same place where a node of one cell has closed the gap: the sign, in the colours of who is there now."""
    return Look(glyph, look.colour, look.ground, True)


def came_look(glyph: str, look: Look) -> Look:
    """A node that has just come without a request for it: its owner's hue, lit up."""
    hue = look.ground if look.colour == GROUND else look.colour
    return Look(glyph, GROUND, blend(CAME_COLOUR, hue, 0.5), True)


def in_brackets(look: Look, cells: int, *, begins: bool, ends: bool) -> str:
    """The cells under the cursor, or those of a row, between its two ends."""
    text = look.char * cells
    if look.sign and begins:
        text = look.sign + text[1:]
    text = ("[" if begins else text[0]) + text[1:]
    return text[:-1] + ("]" if ends else text[-1])
