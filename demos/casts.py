"""Casts of the named workloads: who takes part, what each is for, its tools and the length of its anchor.

Forms come from public systems: debate among models on MMLU (Du et al. 2305.14325, three agents and two rounds), a judge
over two user turns (MT-Bench, 2306.05685), one orchestrator over surfers, coder and terminal (Magentic-One, 2411.04468,
on GAIA, 2311.12983), planner to verifier with eight worked examples (2201.11903, on GSM8K, 2110.14168), and coder, test
designer and executor in a loop of at most five (AgentCoder, 2312.13010, on HumanEval, 2107.03374). Anchors are meant to
have the 500 to 1,500 tokens of arXiv 2605.27744 and come out up to a fifth longer; 63 generated rosters in the Who&When
logs have 2,400 characters on the mean, 4,400 at most. Which role is how long, and the words, are ours.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .tasks import Kind


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """`examples`: worked ones in the anchor. `away`: factor on its session's pause after it spoke: a tool runs, or a
    person reads."""

    name: str
    mission: str
    anchor_tokens: int
    tools: tuple[str, ...] = ()
    examples: int = 0
    away: float = 1.0
    says: Literal["prose", "code"] = "prose"


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """`turns`: how often the person speaks in a session, before the first role does. `hears`: of what was said since it
    last spoke, how much an agent with a private history is told."""

    roles: tuple[Role, ...]
    kind: Kind
    turns: int = 1
    hears: int = 1


def _expert(name: str, field: str, anchor_tokens: int) -> Role:
    mission = f"answer questions on {field} with one letter and the reason that rules the others out"
    return Role(name=name, mission=mission, anchor_tokens=anchor_tokens, examples=5)


MMLU = Cast(
    kind="choice",
    hears=3,
    roles=(
        Role(name="moderator", mission="state the question without a hint of the answer", anchor_tokens=520),
        _expert("scientist", "science, mathematics and engineering", 1150),
        _expert("humanist", "history, philosophy and law", 1050),
        _expert("economist", "economics, politics and psychology", 950),
        _expert("practitioner", "medicine, business and everything else", 1250),
        Role(name="judge", mission="weigh the answers and name one letter", anchor_tokens=640),
    ),
)
"""Four experts for MMLU's four groups of its 57 subjects, each with the five examples of the usual protocol."""

MT_BENCH = Cast(
    kind="open",
    turns=2,
    roles=(
        Role(name="host", mission="say what is asked for and which colleague answers", anchor_tokens=750),
        Role(name="writer", mission="write and play parts", anchor_tokens=1200, examples=2),
        Role(name="analyst", mission="reason, calculate and extract", anchor_tokens=1350, examples=2),
        Role(name="coder", mission="write code that runs", anchor_tokens=1150, tools=("run_tests",), says="code"),
        Role(name="critic", mission="send a draft back or let it pass", anchor_tokens=1000),
        Role(name="editor", mission="give the answer its final form", anchor_tokens=900, away=4.0),
        Role(name="judge", mission="grade the conversation from one to ten", anchor_tokens=1500, examples=3),
    ),
)
"""Two user turns as MT-Bench has them; the person reads for a while after the editor's answer."""

GAIA = Cast(
    kind="search",
    roles=(
        Role(
            name="orchestrator",
            mission="keep the ledger of facts and guesses, and say who acts next and on what",
            anchor_tokens=500,
        ),
        Role(
            name="web_surfer",
            mission="find pages and report what they say, with address and date",
            anchor_tokens=1500,
            tools=("search_web", "open_page", "compare_texts", "search_memory", "save_note"),
            away=3.0,
        ),
        Role(
            name="file_surfer",
            mission="open what is attached and report what it holds",
            anchor_tokens=1450,
            tools=("read_file", "open_page", "search_memory"),
            away=1.5,
        ),
        Role(
            name="coder",
            mission="write the script that answers the step",
            anchor_tokens=1250,
            tools=("write_file",),
            says="code",
        ),
        Role(name="terminal", mission="run what the coder wrote", anchor_tokens=1150, tools=("run_shell",), away=2.0),
        Role(name="analyst", mission="do the arithmetic of tables", anchor_tokens=1350, tools=("query_table",)),
        Role(
            name="image_reader",
            mission="say what a picture shows, with positions and counts",
            anchor_tokens=1350,
            tools=("read_file", "plot_series"),
            away=1.5,
        ),
        Role(name="verifier", mission="check the answer against the words of the question", anchor_tokens=1150),
    ),
)
"""Magentic-One's five, and three for what GAIA asks besides: tables, pictures, an exact form of the answer. In its
Who&When logs the orchestrator makes three of four calls and says 210 characters in the median, the web surfer 2,700;
here every other call is the orchestrator's, and reports are cut to a quarter of that."""

GSM8K = Cast(
    kind="sum",
    roles=(
        Role(name="planner", mission="list the two to eight steps that lead to the number", anchor_tokens=800),
        Role(name="solver", mission="carry the steps out in words and numbers", anchor_tokens=1500, examples=8),
        Role(
            name="calculator",
            mission="check every product and sum",
            anchor_tokens=700,
            tools=("query_table",),
            away=1.5,
        ),
        Role(name="critic", mission="name the first step that does not follow", anchor_tokens=900, examples=2),
        Role(name="verifier", mission="solve it once more in another way", anchor_tokens=1300, examples=6),
        Role(name="writer", mission="give the number and one sentence", anchor_tokens=600),
    ),
)
"""Six agents, as in the dispatch recordings on GSM8K that the literature reports; eight worked examples as usual."""

HUMANEVAL = Cast(
    kind="function",
    roles=(
        Role(name="planner", mission="turn a docstring into cases", anchor_tokens=950, tools=("read_file",)),
        Role(
            name="coder",
            mission="write the body of the function",
            anchor_tokens=1400,
            tools=("read_file", "write_file"),
            examples=3,
            says="code",
        ),
        Role(name="test_designer", mission="write eight asserts", anchor_tokens=1250, examples=3, says="code"),
        Role(
            name="executor",
            mission="run the tests and report the first failure",
            anchor_tokens=900,
            tools=("run_tests", "run_shell"),
            away=2.5,
        ),
        Role(name="debugger", mission="explain a failure line by line before anything is changed", anchor_tokens=1150),
        Role(name="reviewer", mission="accept the change or say what is missing", anchor_tokens=1050),
    ),
)
"""AgentCoder's three, a planner before and a reviewer after them, and who explains a failure (2304.05128)."""

CASTS: dict[str, Cast] = {
    "mmlu": MMLU, "mt_bench": MT_BENCH, "gaia": GAIA, "gsm8k": GSM8K, "humaneval": HUMANEVAL,
}  # fmt: skip
