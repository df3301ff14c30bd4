"""What a reader must know to trust the numbers of a what-if, in words: of the recording, and of one run. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from radixdeck.policies.tree.sight import NAME as THIS_LAYER
from radixdeck.storage.whatif import Outcome

WORTH_SAYING = 0.01
"""Of a cache: in less, a model may be over by how it counts."""


def of_recording(outcome: Outcome) -> Iterator[str]:
    """The same for every what-if of it."""
    if outcome.incomplete:
        yield f"left out: {outcome.incomplete:,} requests that the recording does not hold whole"
    if outcome.dropped_events:
        yield f"{outcome.dropped_events:,} events are missing in the recording"
    for failure in outcome.recorded_failures:
        who = "radixdeck's part in it" if failure.policy == THIS_LAYER else failure.policy
        yield (
            f"as recorded: from event {failure.seq:,} the engine ran on its own order, for {who} failed: "
            f"{failure.call}: {failure.error}"
        )


def of_run(name: str, outcome: Outcome) -> Iterator[str]:
    """`name`: what the run is called where the words are read."""
    if outcome.too_long:
        yield f"{name}: {outcome.too_long:,} prompts do not fit in it: the engine would refuse them"
    elif outcome.over_tokens > WORTH_SAYING * outcome.kv_tokens:
        yield (
            f"{name}: up to {outcome.over_tokens:,} tokens more were in use than there are: "
            "the engine would have made requests wait"
        )
    if outcome.warm_ups:
        yield f"{name}: with {outcome.warm_ups:,} warm-ups as recorded, so it may pass the best possible"
    for tuned in outcome.unknown_tunables:
        yield f"{name}: without {tuned.policy}.{tuned.name} = {tuned.value:g}, which this version does not take"
    for failure in outcome.failures:
        yield f"{name}: failed and gave way to LRU: {failure}"
