"""Where a request's time went: queue, prefill, first token, decode, as stretches of a line. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radixdeck.policies.residency import RequestView

from .words import ratio, seconds, tokens


class Stage(NamedTuple):
    """One stretch of a request, seconds since it arrived; drawn as `char`, so that colour is not needed."""

    name: str
    start_s: float
    end_s: float
    char: str
    colour: str

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


LOOKS = {
    "queue": ("░", "#9aa5b1"),
    "prefill": ("█", "#e69f00"),
    "first token": ("▓", "#56b4e9"),
    "decode": ("▒", "#35b98e"),
}


def stages(view: RequestView, now_ns: int) -> list[Stage]:
    """The stretches of a request in order; the last one of an unfinished request reaches to now. What is not known is
    left out; what clocks disagree about has no length."""
    began_ns = view.arrived_ns or view.matched_ns
    if not began_ns:
        return []
    first_ns = began_ns + int(view.ttft_s * 1e9) if view.ttft_s is not None else 0
    done_ns = began_ns + int(view.latency_s * 1e9) if view.latency_s is not None else view.finished_ns
    ends = [
        ("queue", view.matched_ns),
        ("prefill", view.prefilled_ns or first_ns),
        ("first token", first_ns),
        ("decode", done_ns),
    ]
    found: list[Stage] = []
    here_ns = began_ns
    for name, end_ns in ends:
        if not end_ns:
            if not done_ns:
                found.append(_stage(name, began_ns, here_ns, max(here_ns, now_ns)))
                break
            continue
        found.append(_stage(name, began_ns, here_ns, max(here_ns, end_ns)))
        here_ns = max(here_ns, end_ns)
    return found


def _stage(name: str, began_ns: int, start_ns: int, end_ns: int) -> Stage:
    return Stage(name, (start_ns - began_ns) / 1e9, (end_ns - began_ns) / 1e9, *LOOKS[name])


def total_s(view: RequestView, now_ns: int) -> float:
    found = stages(view, now_ns)
    return found[-1].end_s if found else 0.0


def cells(found: Sequence[Stage], width: int, longest_s: float) -> list[tuple[str, str]]:
    """(text, colour) of a line of at most `width` characters in which `longest_s` would take all of it; a stretch that
    took any time has at least one character while there is room."""
    line: list[tuple[str, str]] = []
    used = 0
    for stage in found:
        if stage.length_s <= 0 or longest_s <= 0:
            continue
        end = min(width, max(used + 1, round(stage.end_s / longest_s * width)))
        if end > used:
            line.append((stage.char * (end - used), stage.colour))
            used = end
    return line


def stage_words(view: RequestView, now_ns: int) -> list[str]:
    """A line per stretch: how long, which share, and what the prefill had to do."""
    found = stages(view, now_ns)
    whole = found[-1].end_s if found else 0.0
    lines: list[str] = []
    for stage in found:
        what = ""
        if stage.name == "prefill":
            computed = max(0, view.prompt_tokens - view.cached_tokens)
            what = f"  {tokens(view.cached_tokens)} cached, {tokens(computed)} computed"
        elif stage.name == "decode" and view.output_tokens:
            what = f"  {tokens(view.output_tokens)} written"
        share = ratio(stage.length_s, whole)
        lines.append(f"{stage.char} {stage.name:<12}{seconds(stage.length_s):>9} {share:>6}{what}")
    return lines
