"""Policies that order evictions beside the one that holds the slot: where such a one was on in a run, it is on in every
model of that run, whichever policy holds the slot there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from radixdeck.policies.fairness import Fairness

BESIDE = frozenset({Fairness.name})


def on_beside(config: Mapping[str, Any], switched: Mapping[str, bool]) -> tuple[str, ...]:
    """Those on in a run of this configuration, as `switched` since."""
    section: Any = config.get("policy", {})
    try:
        configured = msgspec.convert(section.get("enabled", ()), tuple[str, ...])
    except (AttributeError, msgspec.ValidationError):
        configured = ()
    return tuple(name for name in sorted(BESIDE) if switched.get(name, name in configured))
