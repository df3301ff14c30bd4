"""The table of the what-if screen: what happened, one row per case, and the best possible. Pure."""

from __future__ import annotations

from typing import NamedTuple

from rich.text import Text

from .whatif_case import AS_MODELLED, AS_RECORDED, BEST, Case
from .whatif_runs import WhatIfs
from .widgets.table import Cell
from .words import bar, seconds, short, tokens

OTHER_BASE = "compared with"
"""Key of the row that is none of the cases."""


class Look(NamedTuple):
    """How the runs are looked at: compared with `base` (None: what really happened), counted after event `after_seq`.
    `key`: what runs a row."""

    base: Case | None
    after_seq: int
    key: str


def rows(runs: WhatIfs, cases: list[Case], look: Look) -> list[tuple[str, list[Cell]]]:
    """By key. The best possible, and what was evicted, is known of whole runs only. What is compared with is there too
    where it is none of the cases, as another size of the cache is."""
    found = [(AS_RECORDED, _recorded_row(runs, look))]
    if look.base is not None and look.base in runs.outcomes and look.base not in cases:
        found.append((OTHER_BASE, _row(runs, look.base, look)))
    found += [(key_of_row(case), _row(runs, case, look)) for case in cases]
    if look.after_seq < 0 and any(case in runs.outcomes for case in cases):
        found.append((BEST, _best_row(runs, cases)))
    return found


def key_of_row(case: Case) -> str:
    return case.policy or AS_MODELLED


def _recorded_row(runs: WhatIfs, look: Look) -> list[Cell]:
    rate = runs.hit_rate(None, look.after_seq)
    saved = sum(cached for _, cached in runs.by_agent(None, look.after_seq).values())
    shown = "-" if rate is None else f"{100 * rate:.1f} %"
    mark = ">" if look.base is None else " "
    size = _size(runs, 1.0)
    return [mark, AS_RECORDED, size, shown, "", f"{saved:,}", "", "", "", ""]


def _row(runs: WhatIfs, case: Case, look: Look) -> list[Cell]:
    mark = Text(">" if look.base == case else " ", style="bold")
    size = _size(runs, case.times)
    outcome = runs.outcomes.get(case)
    rate = runs.hit_rate(case, look.after_seq) if outcome else None
    if outcome is None or rate is None or outcome.too_long:
        return [mark, case.words, size, "-", "", "", "", "", "", _state(runs, case, look)]
    base = None if look.base is None else runs.outcomes.get(look.base)
    unknown = base.too_long if base is not None else look.base is not None
    points = "" if unknown else f"{runs.points(look.base, case, look.after_seq):+.1f}"
    saved = sum(cached for _, cached in runs.by_agent(case, look.after_seq).values())
    counts = [outcome.evictions, outcome.evictions_that_hurt, outcome.hurt_tokens]
    of_all = [f"{count:,}" if look.after_seq < 0 else "" for count in counts]
    return [
        mark, case.words, size, f"{100 * rate:.1f} %", points, f"{saved:,}", *of_all,
        _state(runs, case, look),
    ]  # fmt: skip


def _size(runs: WhatIfs, times: float) -> str:
    """In tokens, if the engine had one size all along."""
    return short(runs.sizes[0] * times) if len(runs.sizes) == 1 else f"{times:g}x"


def size_words(runs: WhatIfs, times: float) -> str:
    """', 5.1k tok' or ', 300 tok to 1k tok', '' while it is not known."""
    if not runs.sizes:
        return ""
    least, most = (tokens(round(size * times)) for size in (runs.sizes[0], runs.sizes[-1]))
    return f", {least}" if least == most else f", {least} to {most}"


def _best_row(runs: WhatIfs, cases: list[Case]) -> list[Cell]:
    """Some case has run. Warm-ups are prefetch, which the bound does not know."""
    ran = [runs.outcomes[case] for case in cases if case in runs.outcomes]
    best = max(ran, key=lambda one: one.last_seq)
    if best.too_long:
        return [" ", BEST, "", "-", "", "", "", "", "", ""]
    rate = f"{100 * best.bound_tokens / max(1, best.prompt_tokens):.1f} %"
    caveat = "but for warm-ups" if any(one.warm_ups for one in ran) else ""
    return [" ", BEST, "", rate, "", f"{best.bound_tokens:,}", "", "", "", caveat]


def _state(runs: WhatIfs, case: Case, look: Look) -> str:
    if runs.running == case:
        return f"{100 * runs.progress:3.0f} % {bar(runs.progress, 10)}"
    if case in runs.failed:
        return f"! {runs.failed[case]}"
    outcome = runs.outcomes.get(case)
    if outcome is None:
        return f"{look.key} runs"
    if outcome.failed:
        return "! failed, LRU from there"
    if outcome.too_long:
        return f"! {outcome.too_long:,} prompts do not fit"
    if missed := runs.missed(case):
        return f"! {missed:,} requests came since: {look.key} runs it anew"
    return f"in {seconds(outcome.took_s)}"
