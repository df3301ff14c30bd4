"""What is known of the tier below the KV pool, where SGLang keeps evicted nodes in host memory. Pure.

An engine that says how much fits there is followed node by node. Of an older one only what moved there and what was
found there passes by in events.
"""

from __future__ import annotations

from collections.abc import Iterable

from radixdeck.policies.events import NodeEvicted, PrefixMatched
from radixdeck.policies.residency import NodeView, RunState

from .event_log import LogLine
from .tiers import host_tokens
from .words import count, ratio, short, tokens

ON_HOST = "in host memory only: whoever asks for it has it copied back, not computed"


def host_words(log: Iterable[LogLine], run: RunState) -> str:
    """'no host tier known', what lies there, or what went there and was found there in the events of the log."""
    if run.host_capacity_tokens:
        held = f"{short(host_tokens(run))} of {short(run.host_capacity_tokens)} tok"
        shown = f", {len(run.host):,} of them shown" if run.host_beyond else ""
        return f"device memory; host tier: {held}, {count(len(run.host) + run.host_beyond, 'node')}{shown}"
    moved = found = 0
    for line in log:
        event = line.event
        if isinstance(event, NodeEvicted) and event.to_host:
            moved += event.tokens
        elif isinstance(event, PrefixMatched):
            found += event.host_tokens
    if not moved and not found:
        return "device memory; no host tier known"
    return f"device memory; host tier: {tokens(moved)} moved there, {tokens(found)} found there lately"


def host_share(view: NodeView, run: RunState) -> str:
    """How much of the host tier a node takes."""
    return f"{ratio(view.tokens, run.host_capacity_tokens)} of the host tier"
