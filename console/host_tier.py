"""What is known of the tier below the KV pool, where SGLang keeps evicted nodes in host memory. Pure.

The run's state holds no host nodes: only what moved there and what was found there passes by in events.
"""

from __future__ import annotations

from collections.abc import Iterable

from radixdeck.policies.events import NodeEvicted, PrefixMatched

from .event_log import LogLine
from .words import tokens


def host_words(log: Iterable[LogLine]) -> str:
    """'no host tier known', or what went there and was found there in the events of the log."""
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
