"""System prompts, tool schemas and messages, put together from `words.py` by seed: the same seed, the same text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from .words import ASKS, FINDINGS, ROLES, STYLE, SUBJECTS, THEN, TOOLS, WHEN

PROSE_CHARS_PER_TOKEN = 3.7
LISTING_CHARS_PER_TOKEN = 3.0
SCHEMA_CHARS_PER_TOKEN = 3.5
"""Characters per token of each kind of text here under the tokenizer of the model made on the spot. They only size
prompts: every number that is reported counts the engine's own tokens."""


MAX_AGENTS = 1_000


def agent_names(count: int) -> list[str]:
    """The first `count` roles; where there are not that many, again with a number. Raises ValueError."""
    if not 1 <= count <= MAX_AGENTS:
        raise ValueError(f"agents: {count} is outside 1 to {MAX_AGENTS}")
    return [_numbered(ROLES[n % len(ROLES)][0], n // len(ROLES)) for n in range(count)]


def _numbered(name: str, copy: int) -> str:
    return f"{name}-{copy + 1}" if copy else name


def tool_schemas(rng: Random, count: int) -> list[dict[str, Any]]:
    """`count` different tools in OpenAI's function shape."""
    return [_schema(*tool) for tool in rng.sample(TOOLS, count)]


def named_tools(names: Sequence[str]) -> list[dict[str, Any]]:
    """The tools of those names, in that order. Raises KeyError for an unknown one."""
    known = {tool[0]: tool for tool in TOOLS}
    return [_schema(*known[name]) for name in names]


def _schema(name: str, doc: str, parameters: tuple[tuple[str, str, str], ...]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field, kind, about in parameters:
        properties[field] = {"type": kind, "description": about}
        if kind == "array":
            properties[field]["items"] = {"type": "string"}
    shape = {"type": "object", "properties": properties, "required": [parameters[0][0]], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": doc, "parameters": shape}}


def schema_tokens(tools: list[dict[str, Any]]) -> float:
    """About how many tokens these schemas take once rendered into a prompt."""
    return len(json.dumps(tools)) / SCHEMA_CHARS_PER_TOKEN


def system_prompt(rng: Random, role: str, tokens: float, mission: str = "") -> str:
    """About `tokens` tokens of instructions for `role`: who it is, rules for its cases, how to write."""
    mission = mission or dict(ROLES).get(role.split("-", maxsplit=1)[0], "do your part of the work and hand it on")
    text = f"You are the {role} of a small team of agents. Your part is to {mission}.\n\nHow you work:\n"
    rules = [f"When {when}, {then}." for when in rng.sample(WHEN, len(WHEN)) for then in rng.sample(THEN, 3)]
    rng.shuffle(rules)
    ending = "\n\nHow you write:\n" + "\n".join(f"- {line}" for line in rng.sample(STYLE, 4))
    for number, rule in enumerate(rules, start=1):
        if len(text) + len(ending) >= tokens * PROSE_CHARS_PER_TOKEN:
            break
        text += f"{number}. {rule}\n"
    return text + ending


def ask(rng: Random) -> str:
    """A task as a person words it."""
    return _filled(rng, rng.choice(ASKS))


def remark(rng: Random, tokens: float) -> str:
    """About `tokens` tokens of what an agent says: findings and what to do about them."""
    return " ".join(_sentences(rng, tokens * PROSE_CHARS_PER_TOKEN))


def material(rng: Random, tokens: float) -> str:
    """About `tokens` tokens of what a tool returns: numbered lines of a log or table."""
    start = rng.randrange(1000, 9000)
    return "\n".join(
        f"{start + n} {line}" for n, line in enumerate(_sentences(rng, tokens * LISTING_CHARS_PER_TOKEN, margin=6))
    )


def _sentences(rng: Random, characters: float, margin: int = 1) -> Iterator[str]:
    """Findings until they fill `characters`, each counted with `margin` characters around it; at least one."""
    written = 0
    while not written or written < characters:
        sentence = f"{rng.choice(SUBJECTS).capitalize()} {_filled(rng, rng.choice(FINDINGS))}."
        written += len(sentence) + margin
        yield sentence


def _filled(rng: Random, template: str) -> str:
    subject, other = rng.sample(SUBJECTS, 2)
    return template.format(
        subject=subject, other=other, day=f"{rng.randint(4, 20)}th", n=rng.randint(2, 60), m=rng.randint(61, 900)
    )
