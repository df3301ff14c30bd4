"""What is known of an agent's anchor, its text where a recording holds it, else what to do about that. No screens."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from radixdeck.policies.residency import AgentStats
from radixdeck.storage.anchor_text import AnchorText
from radixdeck.storage.errors import StorageError
from radixdeck.storage.session import open_session

from .agent_facts import name_of
from .words import printable, short, time_of_day, tokens

NOT_KEPT = (
    "Its text is not recorded: this daemon was not told to. Set record_anchors = true in its radixdeck.toml and start "
    "it anew: then the system messages and the tools of each agent are kept in the recording, which only its owner can "
    "read, and are still never sent over the broker."
)
NOT_YET = (
    "This recording keeps the text of anchors, and has none of this agent: it is taken when the anchor is measured, "
    "with the first request of an agent (the second of a new version) that brings system messages or tools through the "
    "chat routes."
)


class Told(NamedTuple):
    """`texts`: the last version first; `why`: in words, where there is none."""

    texts: tuple[AnchorText, ...] = ()
    why: str = ""


def read_texts(path: Path | None, why: str, agent: str) -> Told:
    """What a recording has of an agent's anchor. `path`: None where it cannot be read from here, and `why`."""
    if path is None:
        return Told(why=why)
    try:
        with open_session(path) as session:
            found = tuple(session.anchor_texts(agent))
            return Told(found, "" if found else NOT_YET if session.info.prompts_stored else NOT_KEPT)
    except StorageError as error:
        return Told(why=printable(str(error)))


def heading(stats: AgentStats) -> list[str]:
    """What every run knows of an anchor."""
    measured = tokens(stats.anchor_tokens) if stats.anchor_tokens else "not measured yet"
    lines = [
        f"agent      {name_of(stats)}",
        f"anchor     {measured}, {short(stats.anchor_resident_tokens)} tok resident",
    ]
    lines += [f"versions   {stats.versions} so far"] if stats.versions > 1 else []
    return [*lines, f"begins     {stats.label}"] if stats.label else lines


def body(told: Told) -> str:
    """The text to read, each version under its own line."""
    if not told.texts:
        return told.why
    parts: list[str] = []
    for text in told.texts:
        parts.append(
            f"--- version {text.fingerprint[:12]}, {tokens(text.tokens)}, measured {time_of_day(text.at_ns)} ---"
        )
        parts.append("\n".join(printable(line) for line in text.text.replace("\t", "    ").splitlines()))
    return "\n\n".join(parts)
