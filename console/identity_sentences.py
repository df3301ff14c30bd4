"""What the daemon found out about who is asking, in words."""

from __future__ import annotations

from radixdeck.policies import events as e
from radixdeck.policies.run_state import RunState

from .words import ratio


def agent_seen(event: e.AgentSeen, run: RunState) -> str:
    how = "declared" if event.declared else "inferred from its prompt"
    extra = f"; {event.versions} versions of its prompt" if event.versions > 1 else ""
    extra += f"; {event.claimants} names claim this prompt" if event.claimants > 1 else ""
    return f"agent {event.agent} seen ({how}): {event.label or 'no label'}{extra}"


def names_doubted(event: e.NamesDoubted, run: RunState) -> str:
    by = "their prompts" if event.what == "agents" else "what is said in them"
    told = f"do not hold: they are told by {by} from now on" if event.doubted else "hold again"
    held = f"{ratio(event.held, 1)} of the last agreed with prompts"
    return f"names of {event.what} of tenant {event.tenant} {told} ({held})"
