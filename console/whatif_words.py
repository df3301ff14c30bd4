"""Where two what-ifs part, in words, and tunables as a person types them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from radixdeck.daemon.wire import TunableInfo
from radixdeck.storage.whatif import Gone

from .commands import parse_amount
from .holders import holder
from .whatif_case import Case
from .whatif_runs import WhatIfs
from .words import brief_id, tokens


def difference_words(runs: WhatIfs, base: Case | None, case: Case, after_seq: int = -1) -> str:
    """The first request that was served otherwise, and, of two modelled runs, the first other victim, which came
    before it."""
    found = runs.first_difference(base, case, after_seq)
    if found is None:
        told = f"{case.words} would have served every request just the same"
    else:
        told = (
            f"first different: request {brief_id(found.request.rid)} of {found.request.agent or 'nobody'} "
            f"(event {found.seq:,}), {tokens(found.request.prompt_tokens)}: {found.first_tokens:,} cached, under "
            f"{case.words} {found.second_tokens:,}"
        )
    if runs.missed(case) or (base is not None and runs.missed(base)):
        told += "\ncompared over the requests that both saw: run both anew for those that came since"
    victim = runs.other_victim(base, case, after_seq) if base is not None else None
    if base is None or victim is None:
        return told
    if victim.beyond:
        return f"{told}\nfirst other eviction: not among those kept, which are the first of the run"
    went, instead = _went(victim.first), _went(victim.second)
    return f"{told}\nfirst other eviction: {base.beside(case.times)} {went}, {case.words} {instead}"


def first_seq(runs: WhatIfs, base: Case | None, case: Case, after_seq: int = -1) -> int | None:
    """The event at which two runs part: an eviction or a request, whichever was first; None if they never do."""
    found = runs.first_difference(base, case, after_seq)
    victim = runs.other_victim(base, case, after_seq) if base is not None else None
    seqs = [found.seq] if found is not None else []
    seqs += [gone.seq for gone in (victim.first, victim.second) if gone is not None] if victim is not None else []
    return min(seqs, default=None)


def _went(gone: Gone | None) -> str:
    if gone is None:
        return "evicts nothing more"
    return f"evicts {tokens(gone.tokens)} of the {holder(gone.role, gone.agents, gone.session)} at event {gone.seq:,}"


def parse_values(text: str, known: Iterable[TunableInfo]) -> tuple[tuple[str, float], ...]:
    """'turnover=3, liveness=0' by name; nothing for an empty line. `known`: what there is. Raises ValueError with
    words."""
    values, declared = dict[str, float](), {tunable.name: tunable for tunable in known}
    for part in text.split(","):
        if not part.strip():
            continue
        name, sign, value = part.partition("=")
        if not sign or not name.strip():
            raise ValueError(f"{part.strip()!r}: write name=value")
        tunable = declared.get(name.strip())
        if tunable is None:
            raise ValueError(f"there is no tunable {name.strip()}")
        values[tunable.name] = parse_amount(value.strip())
        if not tunable.low <= values[tunable.name] <= tunable.high:
            raise ValueError(f"{tunable.name}: {tunable.low:g} to {tunable.high:g}")
    return tuple(sorted(values.items()))
