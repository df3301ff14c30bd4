"""What a what-if found, as columns: small enough for a pipe, and fast enough to be compared while keys are pressed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from radixdeck.policies.events import Role
from radixdeck.storage.recorded import Recorded
from radixdeck.storage.whatif import Gone, Outcome

from .whatif_remarks import of_recording, of_run

Column = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Thing = TypeVar("Thing")


class Holder(NamedTuple):
    """Whose a node was."""

    role: Role
    agents: tuple[str, ...]
    session: str


class Codes(Generic[Thing]):
    """Things as small numbers, each the same one every time. `known`: the things by number."""

    def __init__(self) -> None:
        self.known: list[Thing] = []
        self._numbers: dict[Thing, int] = {}

    def of(self, thing: Thing) -> int:
        if thing not in self._numbers:
            self._numbers[thing] = len(self.known)
            self.known.append(thing)
        return self._numbers[thing]


class Ran(msgspec.Struct, frozen=True):
    """A run that is through: sums, and int64 columns as bytes. By request (warm-ups left out): `seqs` (the number of
    its lookup, rising), `prompts`, `recorded` and `cached` tokens, `agents` (places in `agent_names`) and `rids`. By
    eviction for want of room: `gone_*`, with places in `holders` for whose it was, and `gone_cut` if there were more of
    them than are kept. Tokens unless named otherwise.

    `sizes`: those that the real cache had, smallest first; `last_seq`: the last event that the run saw; `remarks`: what
    a reader must know, in lines; `failed`: the policy raised, and LRU's order was used from there.
    """

    sizes: list[int]
    last_seq: int
    prompt_tokens: int
    bound_tokens: int
    evictions: int
    evictions_that_hurt: int
    hurt_tokens: int
    took_s: float
    warm_ups: int
    too_long: int
    failed: bool
    remarks: list[str]
    seqs: bytes
    rids: list[str]
    agents: bytes
    agent_names: list[str]
    prompts: bytes
    recorded: bytes
    cached: bytes
    gone_cut: bool
    gone_seqs: bytes
    gone_starts: bytes
    gone_tokens: bytes
    gone_holders: bytes
    holders: list[Holder]


def packed(numbers: Iterable[int]) -> bytes:
    return np.fromiter(numbers, np.int64).tobytes()


def column(told: bytes) -> Column:
    return np.frombuffer(told, np.int64)


def ran(recorded: Recorded, outcome: Outcome, name: str) -> Ran:
    """The columns of a what-if. `name`: what remarks call it."""
    requests = [request for _, request in sorted(recorded.requests.items()) if not request.warm]
    agents, holders = Codes[str](), Codes[Holder]()
    return Ran(
        sizes=sorted(set(recorded.sizes)),
        last_seq=recorded.last_seq,
        prompt_tokens=outcome.prompt_tokens,
        bound_tokens=outcome.bound_tokens,
        evictions=outcome.evictions,
        evictions_that_hurt=outcome.evictions_that_hurt,
        hurt_tokens=outcome.hurt_tokens,
        took_s=outcome.took_s,
        warm_ups=outcome.warm_ups,
        too_long=outcome.too_long,
        failed=bool(outcome.failures),
        remarks=[*of_run(name, outcome), *of_recording(outcome)],
        seqs=packed(request.start for request in requests),
        rids=[request.rid for request in requests],
        agents=packed(agents.of(request.agent) for request in requests),
        agent_names=agents.known,
        prompts=packed(request.prompt_tokens for request in requests),
        recorded=packed(request.cached_tokens for request in requests),
        cached=packed(outcome.cached_by_request.get(request.start, 0) for request in requests),
        gone_cut=outcome.gone_cut,
        gone_seqs=packed(gone.seq for gone in outcome.gone),
        gone_starts=packed(gone.start for gone in outcome.gone),
        gone_tokens=packed(gone.tokens for gone in outcome.gone),
        gone_holders=packed(holders.of(Holder(gone.role, gone.agents, gone.session)) for gone in outcome.gone),
        holders=holders.known,
    )


class Served(NamedTuple):
    """What a run served, by the requests known now: `cached` tokens, 0 of those that it had not `seen` yet."""

    cached: Column
    seen: Mask


class Requests:
    """The requests of a recording, as the last run read them."""

    def __init__(self, told: Ran) -> None:
        self.seqs, self.prompts, self.recorded = column(told.seqs), column(told.prompts), column(told.recorded)
        self.rids = told.rids
        self.agents, self.agent_names = column(told.agents), told.agent_names

    def later(self, after_seq: int) -> int:
        """The place of the first request after event `after_seq`."""
        return int(np.searchsorted(self.seqs, after_seq, side="right"))

    def aligned(self, told: Ran) -> Served:
        """A run of the same recording, which may have been shorter then."""
        seqs, cached = column(told.seqs), column(told.cached)
        places = np.minimum(np.searchsorted(seqs, self.seqs), len(seqs) - 1)
        seen = seqs[places] == self.seqs
        return Served(np.where(seen, cached[places], 0), seen)


class OtherVictim(NamedTuple):
    """The first eviction at which two runs part: what went in each, None in the one that evicted nothing more.
    `beyond`: they are equal as far as evictions are kept, and what came then is not known."""

    first: Gone | None
    second: Gone | None
    beyond: bool = False


class Evictions:
    """What a run evicted for want of room, in order; whose it was by numbers that all runs share."""

    def __init__(self, told: Ran, holders: Codes[Holder]) -> None:
        self._holders, self._cut = holders, told.gone_cut
        numbers = np.array([holders.of(holder) for holder in told.holders], np.int64)
        whose = column(told.gone_holders)
        self._columns = np.stack(
            [column(told.gone_seqs), column(told.gone_starts), column(told.gone_tokens),
             numbers[whose] if len(whose) else whose]
        )  # fmt: skip

    def parting(self, other: Evictions, after_seq: int) -> OtherVictim | None:
        """The first place after event `after_seq` at which two runs evicted something else, None if they never did."""
        here, there = self._after(after_seq), other._after(after_seq)
        both = min(here.shape[1], there.shape[1])
        differs = (here[:, :both] != there[:, :both]).any(axis=0)
        place = int(differs.argmax()) if differs.any() else both
        if (self._cut and place == here.shape[1]) or (other._cut and place == there.shape[1]):
            return OtherVictim(None, None, beyond=True)
        found = OtherVictim(self._gone(here, place), other._gone(there, place))
        return None if found == (None, None, False) else found

    def _after(self, after_seq: int) -> Column:
        return self._columns[:, int(np.searchsorted(self._columns[0], after_seq, side="right")) :]

    def _gone(self, columns: Column, place: int) -> Gone | None:
        if place >= columns.shape[1]:
            return None
        seq, start, tokens, whose = (int(number) for number in columns[:, place])
        return Gone(seq, start, tokens, *self._holders.known[whose])
