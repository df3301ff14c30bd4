"""Whose tokens a node holds, in words. Pure."""

from __future__ import annotations


def holder(role: str, agents: tuple[str, ...], session: str = "") -> str:
    """Whose tokens a node holds: 'anchor of planner', 'history of coder in s3', 'prefix shared by coder, planner'."""
    if role == "anchor" and agents:
        return f"anchor of {' and '.join(agents)}"
    if role == "shared" and agents:
        return "prefix shared by everybody" if agents == ("*",) else f"prefix shared by {', '.join(agents)}"
    if role == "private" and agents:
        return f"history of {', '.join(agents)}" + (f" in {session}" if session else "")
    return "tokens of nobody"


def briefly(role: str, agents: tuple[str, ...], session: str = "") -> str:
    """The same where there is little room: 'anchor planner', 'history coder s3', 'shared coder+planner'."""
    named = ("history" if role == "private" else role, "+".join(agents), session)
    return " ".join(part for part in named if part)
