"""Who to whom, as a small table of numbers that are also shaded: transitions, and evictions that hurt. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual.content import Content

from radixdeck.policies.residency import RunState

from .theme import GROUND, AgentMark, blend
from .words import clip, short

LABEL_WIDTH = 14
CELL_WIDTH = 5
HEAT = "#56b4e9"
HARM = "#e8684a"


def matrix(
    counts: Mapping[str, Mapping[str, int]], marks: Mapping[str, AgentMark], colour: str, width: int, height: int
) -> Content:
    """One row and one column per agent, as many as fit into `width` x `height` characters; 0 is left blank."""
    places = max(0, (width - LABEL_WIDTH - 2) // CELL_WIDTH)
    columns = list(marks)[:places]
    rows = list(marks)[: max(0, height - 1)]
    most = max((counts.get(row, {}).get(column, 0) for row in rows for column in columns), default=0)
    head = Content.assemble(
        " " * (LABEL_WIDTH + 2),
        *((f"{marks[column].letter:^{CELL_WIDTH}}", f"bold {marks[column].colour}") for column in columns),
    )
    lines = [head]
    for row in rows:
        cells = [_cell(counts.get(row, {}).get(column, 0), most, colour) for column in columns]
        mark = (f"{marks[row].letter} ", f"bold {marks[row].colour}")
        lines.append(Content.assemble(mark, f"{clip(row, LABEL_WIDTH):<{LABEL_WIDTH}}", *cells))
    return Content("\n").join(lines)


def _cell(number: int, most: int, colour: str) -> tuple[str, str]:
    if not number:
        return f"{'·':^{CELL_WIDTH}}", "#4a5563"
    share = 0.15 + 0.85 * number / most
    ink = GROUND if share > 0.55 else "#ffffff"
    return f"{short(number):^{CELL_WIDTH}}", f"{ink} on {blend(colour, GROUND, share)}"


def harm(run: RunState, marks: Mapping[str, AgentMark], width: int, height: int) -> Content:
    """Rows: whose evicted tokens were missed; columns: whose requests had pushed them out."""
    return matrix({agent: stats.evicted_by for agent, stats in run.agents.items()}, marks, HARM, width, height)


def transitions(run: RunState, marks: Mapping[str, AgentMark], width: int, height: int) -> Content:
    """Rows: the agent that ran; columns: the agent that came next in the same session."""
    return matrix(run.transitions, marks, HEAT, width, height)


def shares(run: RunState, marks: Mapping[str, AgentMark], width: int) -> Content:
    """Resident tokens of every agent as bars."""
    return bars({agent: run.agents[agent].resident_tokens for agent in marks}, marks, width, short)


def bars(
    values: Mapping[str, float],
    marks: Mapping[str, AgentMark],
    width: int,
    word: Callable[[float], str],
    top: float = 0,
) -> Content:
    """One bar per agent, the longest first; `top` is a full one, 0 for the largest value."""
    most = top or max(values.values(), default=0)
    room = max(4, width - LABEL_WIDTH - 10)
    lines: list[Content] = []
    for agent in sorted(values, key=lambda agent: (-values[agent], agent)):
        mark = marks.get(agent, AgentMark(" ", "#7d8894"))
        filled = round(room * values[agent] / most) if most else 0
        lines.append(
            Content.assemble(
                (f"{mark.letter} ", f"bold {mark.colour}"),
                f"{clip(agent, LABEL_WIDTH):<{LABEL_WIDTH}} {word(values[agent]):>5} ",
                ("█" * filled, mark.colour),
            )
        )
    return Content("\n").join(lines)
