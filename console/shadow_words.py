"""What a shadow showed, in words: rates, what is to be gained, and what speaks against believing it. Pure."""

from __future__ import annotations

from radixdeck.storage.beside import BesideView

from .words import count

UNKNOWN = "-"


def rate(share: float | None) -> str:
    """'41.8%', or '-' where nothing is known."""
    return UNKNOWN if share is None else f"{share:.1%}"


def gain_of(view: BesideView) -> float | None:
    """How far the other policy's hit rate is above that of the one that is on; None where either is unknown."""
    on, other = view.sides
    if on.hit_rate is None or other.hit_rate is None:
        return None
    return other.hit_rate - on.hit_rate


def failure(view: BesideView) -> str:
    """Which side broke, and by what; '' if none did."""
    broken = [f"the shadow's {side.policy} FAILED: {side.failed}" for side in view.sides if side.failed]
    return f"{', and '.join(broken)}. It shows nothing." if broken else ""


def gaps(view: BesideView) -> str:
    """'244 left out, 1 not heard to end: 1,900 events missing'; '' if it counted all there was."""
    told = [f"{view.left_out:,} left out"] if view.left_out else []
    told += [f"{view.given_up:,} not heard to end"] if view.given_up else []
    missing = f"{count(view.dropped, 'event')} missing" if view.dropped else "events missing" if view.left_out else ""
    return ": ".join(part for part in (", ".join(told), missing) if part)


def doubt(view: BesideView) -> str:
    """What speaks against a switch for the sake of what it shows; '' if nothing does."""
    if broken := failure(view):
        return broken
    lost = gaps(view)
    return f"The shadow counted {count(view.requests, 'request')}, {lost}." if lost else ""


def gained(view: BesideView) -> str:
    """As the reason of a switch; '' before anything is counted."""
    if broken := failure(view):
        return broken
    if gain_of(view) is None:
        return ""
    on, other = view.sides
    over = count(other.requests, "request")
    told = f"shadow over {over}: {rate(other.hit_rate)} against {rate(on.hit_rate)} of {on.policy}"
    return f"{told}; {lost}" if (lost := gaps(view)) else told
