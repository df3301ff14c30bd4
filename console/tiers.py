"""The map of both tiers: the KV pool on the device, and below a line what lies in host memory only. Pure.

Where an engine told of no host tier, everything is the device's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from radixdeck.policies.events import NO_NODE
from radixdeck.policies.residency import NodeView, RunState

from .cache_map import CacheMap, Span, lay_out, ordered, spans_of
from .words import count, tokens

RULE = -3
"""Stands for the line between the tiers."""
BEYOND = -4
"""Stands for what lies on the host in nodes that are counted and not followed."""
SHARE = 4
"""The host tier gets this part of the rows."""
LEAST_ROWS = 6
"""Lower maps show the device alone."""


def host_rows(run: RunState, height: int) -> int:
    """How many rows show the host tier, without the line above them."""
    return max(1, height // SHARE) if run.host_capacity_tokens > 0 and height >= LEAST_ROWS else 0


def host_tokens(run: RunState) -> int:
    """What lies in host memory only."""
    return sum(view.tokens for view in run.host.values()) + run.host_beyond_tokens


def host_scale(run: RunState, cells: int) -> float:
    """Tokens per cell of the host tier."""
    return max(run.host_capacity_tokens, host_tokens(run), 1) / max(1, cells)


def lay_out_tiers(run: RunState, width: int, height: int, gone: Sequence[NodeView] = ()) -> CacheMap:
    """Cover the map, the host tier at its foot on a scale of its own. `gone`: see `lay_out`."""
    rows = host_rows(run, height)
    if not rows:
        return lay_out(run, width * height, gone)
    device = lay_out(run, width * (height - rows - 1), gone)
    first, cells = device.cells + width, width * rows
    scale = host_scale(run, cells)
    found, _ = spans_of(ordered(run.host.values(), run), (), scale, cells)
    spans = [*device.spans, Span(device.cells, first, RULE)]
    spans += [Span(first + span.first, first + span.end, span.node) for span in found]
    end = min(cells, ceil(host_tokens(run) / scale - 0.5))
    if run.host_beyond and spans[-1].end < first + end:
        spans.append(Span(spans[-1].end, first + end, BEYOND))
    if spans[-1].end < first + cells:
        spans.append(Span(spans[-1].end, first + cells, NO_NODE))
    return CacheMap(spans, first + cells, device.tokens_per_cell, device.gone)


def rule_words(run: RunState, width: int, height: int) -> str:
    """What stands on the line."""
    held, room = tokens(host_tokens(run)), tokens(run.host_capacity_tokens)
    scale = host_scale(run, width * host_rows(run, height))
    beyond = f"; ▒ {count(run.host_beyond, 'more node')}, counted only" if run.host_beyond else ""
    return f"── host memory only: {held} of {room}{beyond}; a cell is {scale:.3g} tok "
