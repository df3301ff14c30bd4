"""The garbage collector, kept from holding up keys: a full collection that walks every import takes 80 ms of a core."""

from __future__ import annotations

import gc

YOUNGEST, YOUNG, OLD = 3_000, 10, 20
"""New objects before the youngest are looked through, and how often that happens before the older ones are too."""


def calm_collector() -> None:
    """For the whole process, once everything is imported: what is there now is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, YOUNG, OLD)
