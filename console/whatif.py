"""What-ifs as a table for a person or as JSON rows for a script, and how far one has come while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec

from radixdeck.storage.whatif import AgentOutcome, Outcome

from .whatif_case import AS_RECORDED, BEST
from .whatif_remarks import of_recording, of_run

QUIET_S = 2.0
"""Nobody wants to read of progress before that."""


def rows(outcomes: list[Outcome]) -> Iterator[str]:
    """One JSON object per what-if; `cached_by_request` and `gone` are left out, rates (0 to 1) are added: none of what
    was modelled where prompts do not fit."""
    for outcome in outcomes:
        row = msgspec.to_builtins(outcome)
        del row["cached_by_request"], row["gone"]
        for name in ("cached", "recorded", "bound"):
            known = name == "recorded" or not outcome.too_long
            row[f"{name}_rate"] = _share(row[f"{name}_tokens"], outcome.prompt_tokens) if known else None
        yield msgspec.json.encode(row).decode()


def lines(outcomes: list[Outcome]) -> Iterator[str]:
    """All of one recording at one size, side by side."""
    first = outcomes[0]
    yield (
        f"{first.requests:,} requests, {first.prompt_tokens:,} prompt tokens, a cache of {_sizes(first)} tokens;"
        " times as recorded"
    )
    yield ""
    yield f"{'':18}  {'hit rate':>8}  {'saved tokens':>12}  {'evictions':>9}  {'that hurt':>9}  {'by tokens':>11}"
    yield _line(AS_RECORDED, first.recorded_tokens, first.prompt_tokens)
    for outcome in outcomes:
        hurt = f"{outcome.evictions:9,}  {outcome.evictions_that_hurt:9,}  {outcome.hurt_tokens:11,}"
        yield (
            _nothing(outcome.policy)
            if outcome.too_long
            else f"{_line(outcome.policy, outcome.cached_tokens, outcome.prompt_tokens)}  {hurt}"
        )
    yield _nothing(BEST) if first.too_long else _line(BEST, first.bound_tokens, first.prompt_tokens)
    yield ""
    yield from _agents(outcomes)
    yield from of_recording(first)
    for outcome in outcomes:
        yield from of_run(outcome.policy, outcome)


def _sizes(outcome: Outcome) -> str:
    """An engine that was started again may have had another size."""
    least, most = min(outcome.kv_sizes, default=outcome.kv_tokens), max(outcome.kv_sizes, default=outcome.kv_tokens)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _line(name: str, tokens: int, prompt_tokens: int) -> str:
    return f"{name:18}  {_share(tokens, prompt_tokens):8.1%}  {tokens:12,}"


def _nothing(name: str) -> str:
    """Of a cache that prompts do not fit in."""
    return f"{name:18}  {'-':>8}"


def _agents(outcomes: list[Outcome]) -> Iterator[str]:
    columns = "".join(f"  {outcome.policy:>18}  {'hurt':>5}" for outcome in outcomes)
    yield f"{'agent':18}  {'requests':>8}  {'tokens':>11}  {'recorded':>8}{columns}"
    served = [{agent.agent: agent for agent in outcome.agents} for outcome in outcomes]
    for agent in outcomes[0].agents:
        cells = "".join(
            _cell(outcome, by_agent[agent.agent]) for outcome, by_agent in zip(outcomes, served, strict=True)
        )
        recorded = _share(agent.recorded_tokens, agent.prompt_tokens)
        name = (agent.label or agent.agent or "(nobody)")[:18]
        yield f"{name:18}  {agent.requests:8,}  {agent.prompt_tokens:11,}  {recorded:8.1%}{cells}"


def _cell(outcome: Outcome, agent: AgentOutcome) -> str:
    if outcome.too_long:
        return f"  {'-':>18}  {'-':>5}"
    hurt = "-" if agent.evictions_that_hurt is None else f"{agent.evictions_that_hurt:,}"
    return f"  {_share(agent.cached_tokens, agent.prompt_tokens):18.1%}  {hurt:>5}"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def progress(write: Callable[[str], object], name: str) -> Callable[[float], None]:
    """Writes how far it has come, over what it wrote before, once it has taken a while."""
    begun_s = time.monotonic()

    def told(share: float) -> None:
        if time.monotonic() - begun_s > QUIET_S:
            write(f"\r{name}: {share:.0%} ")

    return told
