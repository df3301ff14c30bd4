"""Who must have judged all that comes in."""

from __future__ import annotations

from ..doorkeeping import Ruled
from .host import DoorHost


def must_judge(host: DoorHost) -> str:
    """The policy that lets nothing by that it cannot judge, '' if there is none: one that lets nobody in when it fails,
    and has rules if it takes any."""
    strict = [(name, keeper) for name, keeper in host.on if keeper.fails_closed]
    ruled = (name for name, keeper in strict if host.rules.get(name) or not isinstance(keeper, Ruled))
    return next(iter(host.broken), "") or next(ruled, "")
