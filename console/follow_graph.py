"""Who follows whom as a drawing in text: agents as rows, steps as lines beside them, START above and END below. Pure.

Steps down the rows run on the right, steps back up on the left, so no line needs an arrow to be read; the strongest
are drawn, the rest is counted. Every row also says in numbers what comes next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from textual.content import Content

from radixdeck.policies.residency import RunState

from .theme import NO_AGENTS, AgentMark
from .words import clip, count, ratio, short

START, END = "\x00start", "\x00end"
NAMES = {START: "START", END: "END"}
QUIET = AgentMark(" ", "#9aa5b1")
NAME_WIDTH, LABEL_WIDTH, LIST_WIDTH = 12, 21, 20
MOST_LINES, MOST_LANES = 32, 9
LEAST_SHARE = 0.08
STRONG, WEAK = 0.5, 0.2


class Step(NamedTuple):
    """`number` times `target` came after `source`, which is `share` of all that came after `source`."""

    source: str
    target: str
    number: int
    share: float


class Line(NamedTuple):
    """A step as it is drawn: from row `source` to row `target`, in lane `lane` counted from the names outwards."""

    step: Step
    source: int
    target: int
    lane: int


class Drawing(NamedTuple):
    """Rows from START to END; the lines beside them; what had no room."""

    rows: list[str]
    lines: list[Line]
    agents_left_out: int
    steps_left_out: int


def steps_of(run: RunState) -> list[Step]:
    """Every step with how often it was taken. What came first in a session came after START; a session that is over,
    or so old that the run forgot it, went to END; a request of no session is a whole one."""
    counts = {agent: dict(row) for agent, row in run.transitions.items()}
    present, came = Counter(run.session_agent.values()), Counter[str]()
    for row in run.transitions.values():
        came.update(row)
    begun: dict[str, int] = {}
    for agent, stats in run.agents.items():
        if agent in NO_AGENTS:
            continue
        went = sum(run.transitions.get(agent, {}).values())
        begun[agent] = stats.dispatches - came[agent]
        counts.setdefault(agent, {})[END] = stats.dispatches - went - present[agent]
    counts[START] = begun
    return [step for source, row in counts.items() for step in _shares(source, row)]


def _shares(source: str, row: Mapping[str, int]) -> list[Step]:
    whole = sum(number for number in row.values() if number > 0)
    return [Step(source, target, number, number / whole) for target, number in row.items() if number > 0]


def arranged(steps: Iterable[Step], agents: list[str]) -> list[str]:
    """The agents in the order in which they mostly follow each other, from START on."""
    ahead: dict[str, list[Step]] = {}
    for step in steps:
        ahead.setdefault(step.source, []).append(step)
    here: str = START
    order, left = [here], dict.fromkeys(agents)
    while left:
        known = [step for step in ahead.get(here, ()) if step.target in left]
        here = max(known, key=lambda step: step.number).target if known else next(iter(left))
        order.append(here)
        del left[here]
    return [*order, END]


def laid_out(run: RunState, agents: Iterable[str], rows: int, lanes: int) -> Drawing:
    """At most `rows` rows, START and END among them, and `lanes` lanes on each side; the agents asked most come in."""
    known = [agent for agent in agents if agent in run.agents]
    busiest = sorted(known, key=lambda agent: -run.agents[agent].dispatches)[: max(0, rows - 2)]
    steps = steps_of(run)
    order = arranged(steps, [agent for agent in known if agent in set(busiest)])
    place = {name: number for number, name in enumerate(order)}
    drawn = [step for step in steps if step.source in place and step.target in place and step.source != step.target]
    drawn = sorted((step for step in drawn if step.share >= LEAST_SHARE), key=lambda step: -step.number)[:MOST_LINES]
    lines = _in_lanes([(step, place[step.source], place[step.target]) for step in drawn], lanes)
    alone = sum(step.source == step.target for step in steps)
    return Drawing(order, lines, len(known) - len(busiest), len(steps) - alone - len(lines))


def _in_lanes(wanted: list[tuple[Step, int, int]], lanes: int) -> list[Line]:
    """Short lines inside, and none over another; what finds no lane is left out."""
    taken: dict[tuple[bool, int], list[tuple[int, int]]] = {}
    lines: list[Line] = []
    for step, source, target in sorted(wanted, key=lambda one: (abs(one[1] - one[2]), -one[0].number)):
        low, high = min(source, target), max(source, target)
        for lane in range(lanes):
            others = taken.setdefault((source < target, lane), [])
            if all(high < other_low or low > other_high for other_low, other_high in others):
                others.append((low, high))
                lines.append(Line(step, source, target, lane))
                break
    return lines


class Side:
    """The lines on one side of the names as characters with colours; `right` or left of them."""

    def __init__(self, lines: list[Line], marks: Mapping[str, AgentMark], step: int, *, right: bool) -> None:
        self.lanes = 1 + max((line.lane for line in lines), default=-1)
        self.right = right
        self._cells: dict[tuple[int, int], tuple[str, str]] = {}
        # The strong are drawn last, over the weak; every line's way up or down over all ways across.
        ordered = sorted(lines, key=lambda line: line.step.share)
        for line in ordered:
            self._across(line, marks.get(line.step.source, QUIET).colour, step)
        for line in ordered:
            self._along(line, marks.get(line.step.source, QUIET).colour, step)
            self._cells[line.target * step, 0] = ("◀" if right else "▶", marks.get(line.step.source, QUIET).colour)

    def row(self, y: int) -> list[tuple[str, str]]:
        """One row of characters, from left to right."""
        places = range(2 * self.lanes + 1) if self.right else range(2 * self.lanes, -1, -1)
        return [self._cells.get((y, place), (" ", QUIET.colour)) for place in places]

    def _across(self, line: Line, colour: str, step: int) -> None:
        """From the names out to the lane, at both ends."""
        stroke = "━" if line.step.share >= STRONG else "─" if line.step.share >= WEAK else "┄"
        for row in (line.source, line.target):
            for place in range(2 * line.lane + 1):
                self._cells[row * step, place] = (stroke, colour)

    def _along(self, line: Line, colour: str, step: int) -> None:
        """Up or down the lane, with a corner at both ends; a T where another line goes on outwards."""
        heavy = line.step.share >= STRONG
        stroke = "┃" if heavy else "│" if line.step.share >= WEAK else "┆"
        place = 2 * line.lane + 1
        low, high = sorted((line.source * step, line.target * step))
        for y in range(low + 1, high):
            self._cells[y, place] = (stroke, colour)
        top, bottom = ("┓┛" if heavy else "╮╯") if self.right else ("┏┗" if heavy else "╭╰")
        tee, foot = "┳┻" if heavy else "┬┴"
        for y, corner, branch in ((low, top, tee), (high, bottom, foot)):
            self._cells[y, place] = (branch if (y, place + 1) in self._cells else corner, colour)


def graph(run: RunState, marks: Mapping[str, AgentMark], width: int, height: int) -> Content:
    """The drawing in at most `width` x `height` characters."""
    lanes = max(1, min(MOST_LANES, (width - LABEL_WIDTH - LIST_WIDTH - 2) // 4))
    drawing = laid_out(run, marks, height - 1, lanes)
    rows = len(drawing.rows)
    if rows <= 2:
        return Content("no agent yet")
    step = 2 if 2 * rows - 1 <= height - 1 else 1
    down = [line for line in drawing.lines if line.source < line.target]
    up = [line for line in drawing.lines if line.source > line.target]
    left, right = (Side(lines, marks, step, right=lines is down) for lines in (up, down))
    ahead = _next_words(run, marks, drawing.rows)
    room = max(0, width - LABEL_WIDTH - 2 * (left.lanes + right.lanes) - 3)
    lines: list[Content] = []
    for y in range(step * (rows - 1) + 1):
        name = drawing.rows[y // step] if y % step == 0 else None
        label = _label(name, run, marks) if name is not None else Content(" " * LABEL_WIDTH)
        words = clip(ahead[name], room) if name is not None else ""
        lines.append(Content.assemble(*left.row(y), label, *right.row(y), f" {words}"))
    return Content("\n").join([*lines, Content.styled(clip(_left_out(drawing), width), "$text-muted")])


def _label(name: str, run: RunState, marks: Mapping[str, AgentMark]) -> Content:
    """Letter, name and how often it was asked."""
    if name in NAMES:
        return Content(f"{NAMES[name]:^{LABEL_WIDTH}}")
    mark = marks.get(name, QUIET)
    number = short(run.agents[name].dispatches)
    return Content.assemble(
        (f" {mark.letter} ", f"bold #10141a on {mark.colour}"),
        f" {clip(name, NAME_WIDTH):<{NAME_WIDTH}}{number:>{LABEL_WIDTH - NAME_WIDTH - 4}}",
    )


def _next_words(run: RunState, marks: Mapping[str, AgentMark], rows: list[str]) -> dict[str, str]:
    """'C 62 %, itself 20 %, END 18 %' by row."""
    ahead: dict[str, list[Step]] = {name: [] for name in rows}
    for step in sorted(steps_of(run), key=lambda step: -step.number):
        if step.source in ahead:
            ahead[step.source].append(step)
    return {name: ", ".join(_next(step, marks) for step in found) for name, found in ahead.items()}


def _next(step: Step, marks: Mapping[str, AgentMark]) -> str:
    known = NAMES.get(step.target) or (marks[step.target].letter if step.target in marks else step.target)
    return f"{'itself' if step.source == step.target else known} {ratio(step.share, 1)}"


def _left_out(drawing: Drawing) -> str:
    """How to read it, and what is missing."""
    words = "right: down, left: back up; ━ half or more, ─ a fifth, ┄ less"
    missing = [count(drawing.agents_left_out, "agent")] if drawing.agents_left_out else []
    missing += [f"{count(drawing.steps_left_out, 'weaker step')}"] if drawing.steps_left_out else []
    return f"{'not drawn: ' + ', '.join(missing) + '; ' if missing else ''}{words}"
