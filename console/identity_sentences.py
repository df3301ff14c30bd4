"""What the daemon found out about who is asking, in words. Pure."""

from __future__ import annotations

from radixdeck.policies import events as e
from radixdeck.policies.run_state import RunState

from .words import printable, ratio

BY = {"agents": "prompt", "sessions": "what is said"}


def agent_seen(event: e.AgentSeen, run: RunState) -> str:
    how = "declared" if event.declared else "inferred from its prompt"
    extra = f"; {event.versions} versions of its prompt" if event.versions > 1 else ""
    extra += f"; {event.claimants} names claim this prompt" if event.claimants > 1 else ""
    return f"agent {event.agent} seen ({how}): {event.label or 'no label'}{extra}"


def names_doubted(event: e.NamesDoubted, run: RunState) -> str:
    told = f"by {BY[event.what]} from now on: names do not hold" if event.doubted else "by name again"
    return f"{event.what} of {event.tenant} told {told} ({ratio(event.held, 1)} of the last agreed with prompts)"


def doubted_words(run: RunState) -> str:
    """What names are not gone by, and what is instead; '' if all are."""
    ways: dict[str, list[str]] = {}
    for what, tenants in sorted(run.doubted.items()):
        ways.setdefault(", ".join(tenants), []).append(f"{what} by {BY.get(what, 'what is sent')}")
    return printable("; ".join(f"{' and '.join(told)} ({tenants})" for tenants, told in ways.items()))
