"""Questions, worked examples and code in the manner of five public data sets, made up here by seed.

Only lengths and forms are theirs: a stem with four choices (MMLU), an open request with a follow-up (MT-Bench), a
question with several hops (GAIA), a sum in words with its steps (GSM8K), a signature with a docstring (HumanEval).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

from .words import SUBJECTS

Kind = Literal["choice", "open", "search", "sum", "function"]

CODE_CHARS_PER_TOKEN = 2.6
"""As PROSE_CHARS_PER_TOKEN: only sizes prompts."""

NAMES = ("Ada", "Bruno", "Chen", "Dilek", "Emre", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena")
GOODS = ("crates of pears", "bus tickets", "jars of honey", "metres of rope", "boxes of tiles", "packs of seeds")
FIELDS = ("soil chemistry", "maritime law", "early printing", "heat engines", "labour markets", "bird migration")
CLAIMS = (
    "rises with {thing} until a threshold of about {n} is reached, and falls after it",
    "is settled by {thing} alone, whatever the other {n} conditions are",
    "depends on the ratio of {thing} to its counterpart, which is near {n} in most cases",
    "was first described without {thing}, and corrected {n} years later",
    "cannot be told from the data given, because {thing} is not among the {n} quantities named",
)
REQUESTS = (
    "Write a short notice to the neighbours about {subject}: friendly, no more than {n} words, and with one joke.",
    "Explain {subject} to a class of {n} beginners, first with a picture from the kitchen and then exactly.",
    "Take the part of somebody who has looked after {subject} for {n} years, and answer in that voice throughout.",
    "List the {n} facts that matter in the following note on {subject} as a table with a unit in each column.",
)
FOLLOW_UPS = (
    "Now say the same in half the length, and let every sentence begin with another letter.",
    "Take the opposite side, and keep the figures as they were.",
    "Which part of your answer are you least sure of? Write that part again.",
)
VERBS = ("merge", "count", "trim", "rank", "fold", "split", "align", "probe")
NOUNS = ("rows", "spans", "marks", "words", "pairs", "steps", "cells", "runs")


def question(rng: Random, kind: Kind) -> str:
    """A task of that kind; lengths as in the data set it stands for, see `casts.py`."""
    return _QUESTIONS[kind](rng)


def follow_up(rng: Random) -> str:
    """The second turn of an open request."""
    return rng.choice(FOLLOW_UPS)


def example(rng: Random, kind: Kind) -> str:
    """A question with its answer, as few-shot prompts give them."""
    if kind == "choice":
        return f"{_choice(rng)}\nAnswer: {rng.choice('ABCD')}"
    if kind == "sum":
        return _worked(rng)
    if kind == "function":
        return f"{_function(rng)}{code(rng, 60)}"
    return f"{question(rng, kind)}\nA good answer names its source first and is no longer than it must be."


def code(rng: Random, tokens: float) -> str:
    """About `tokens` tokens of a function's body."""
    text = ""
    while len(text) < tokens * CODE_CHARS_PER_TOKEN:
        verb, noun, other = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(NOUNS)
        text += f"    {noun}_{rng.randint(2, 99)} = {verb}({other}, limit={rng.randint(2, 999)})\n"
    return f"{text}    return {rng.choice(NOUNS)}\n"


def _choice(rng: Random) -> str:
    field, thing = rng.choice(FIELDS), rng.choice(SUBJECTS)
    stem = f"In {field}, a quantity is measured {rng.randint(3, 40)} times while {thing} is held fixed. The result"
    lines = [
        f"({letter}) {claim.format(thing=rng.choice(SUBJECTS), n=rng.randint(2, 90))}"
        for letter, claim in zip("ABCD", rng.sample(CLAIMS, 4), strict=True)
    ]
    return "\n".join([stem, *lines])


def _open(rng: Random) -> str:
    return rng.choice(REQUESTS).format(subject=rng.choice(SUBJECTS), n=rng.randint(3, 90))


def _search(rng: Random) -> str:
    first, second = rng.sample(SUBJECTS, 2)
    year, n = rng.randint(1961, 2019), rng.randint(2, 40)
    return (
        f"According to the public archive, who signed the {n}th report on {first} in {year}, and how many pages did "
        f"the report on {second} have that cites it? Use the edition that was current at the end of {year + 1}, and "
        f"answer with the family name and the number only, separated by a comma."
    )


def _sum(rng: Random) -> str:
    name, other = rng.sample(NAMES, 2)
    a, b, c = rng.randint(3, 40), rng.randint(2, 9), rng.randint(2, 30)
    goods = rng.choice(GOODS)
    return (
        f"{name} buys {a} {goods} on Monday and {b} times as many on Friday. {other} takes a third of them and returns "
        f"{c} the next day. If each costs {b + 1} coins and {name} has already paid for {c}, how many coins are left "
        f"to be paid?"
    )


def _worked(rng: Random) -> str:
    a, b, c = rng.randint(3, 40), rng.randint(2, 9), rng.randint(2, 30)
    steps = [f"Friday brings {a} * {b} = {a * b}.", f"Together that is {a} + {a * b} = {a + a * b}."]
    steps += [f"After {c} came back there are {a + a * b + c} in all.", "What was paid for does not count again."]
    return f"Question: {_sum(rng)}\nSteps: {' '.join(steps)}\nThe answer is {(a + a * b) * (b + 1) - c}."


def _function(rng: Random) -> str:
    verb, noun, other = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(NOUNS)
    low, high = rng.randint(1, 9), rng.randint(10, 99)
    return (
        f"def {verb}_{noun}({noun}: list[int], {other}: int = {low}) -> list[int]:\n"
        f'    """{verb.capitalize()} {noun} so that no two neighbours differ by more than {other}; keep the order of '
        f"what is left, and return an empty list if nothing is.\n\n"
        f"    >>> {verb}_{noun}([{low}, {high}, {low + 2}], {other}={low})\n    [{low}, {low + 2}]\n"
        f"    >>> {verb}_{noun}([{high}, {high - 1}, {low}, {high + 1}], {other}={low + 1})\n    [{high}, {high - 1}]\n"
        f'    >>> {verb}_{noun}([], {other}={high})\n    []\n    """\n'
    )


_QUESTIONS: dict[Kind, Callable[[Random], str]] = {
    "choice": _choice, "open": _open, "search": _search, "sum": _sum, "function": _function,
}  # fmt: skip
