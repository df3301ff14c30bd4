"""What-ifs of one recording side by side: run one after the other in a thread, kept, compared request by request."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from radixdeck.policies.host import PolicyError, TunableError
from radixdeck.storage.errors import StorageError
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import AS_IT_WAS, Change, Gone, Outcome, Recorded, what_if

AS_RECORDED = "as recorded"
AS_MODELLED = "as modelled"


class Case(NamedTuple):
    """One what-if to run: a policy, the cache `times` as large as it was, and tunables of the policy's own. All of it
    from after event `after_seq` on, -1 for the whole run; before that the run is as it was."""

    policy: str
    times: float = 1.0
    after_seq: int = -1
    values: tuple[tuple[str, float], ...] = ()

    @property
    def words(self) -> str:
        """'kv_caching, turnover 3'."""
        named = [f"{name} {value:g}" for name, value in self.values]
        return ", ".join([self.policy or AS_MODELLED, *named])


MODELLED = Case(AS_IT_WAS)
"""The run as it was, through the model: what anything from a moment on is compared with."""


class Facts(NamedTuple):
    """What the recording says of one request."""

    rid: str
    agent: str
    prompt_tokens: int
    cached_tokens: int


class Difference(NamedTuple):
    """The first request that two runs served differently. `seq`: number of its lookup in the recording."""

    seq: int
    request: Facts
    first_tokens: int
    second_tokens: int


class OtherVictim(NamedTuple):
    """The first eviction at which two runs part: what went in each, None in the one that evicted nothing more."""

    first: Gone | None
    second: Gone | None


class Stopped(Exception):
    """Somebody asked for a run to end early."""


class WhatIfs:
    """`outcomes` and `failed` are written by the thread that runs, one case at a time, and read by the screen.

    `requests`: by the number of their lookup, warm-ups left out; empty until the first run has read the recording.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: dict[Case, Outcome] = {}
        self.failed: dict[Case, str] = {}
        self.running: Case | None = None
        self.progress = 0.0
        self.requests: dict[int, Facts] = {}
        self.capacity_tokens = 0
        self._stop = False

    def allow(self) -> None:
        """Forget an earlier `stop`: what is run next is wanted."""
        self._stop = False

    def stop(self) -> None:
        """End the run under way; what is done already stays."""
        self._stop = True

    def run(self, case: Case) -> None:
        """Run one case; blocks. What goes wrong with it is kept in words in `failed`."""
        self.running, self.progress = case, 0.0
        self.failed.pop(case, None)
        try:
            self.outcomes[case] = self._run(case)
        except (StorageError, PolicyError, TunableError) as error:
            self.failed[case] = str(error)
        except Stopped:
            self.failed[case] = "stopped"
        finally:
            self.running = None

    def _run(self, case: Case) -> Outcome:
        with open_session(self.path) as session:
            recorded = Recorded(session)
            self.capacity_tokens = recorded.capacity_tokens
            self.requests = {
                seq: Facts(request.rid, request.agent, request.prompt_tokens, request.cached_tokens)
                for seq, request in recorded.requests.items()
                if not request.warm
            }
            size = round(recorded.capacity_tokens * case.times) if recorded.capacity_tokens else None
            tunables = tuple((case.policy, name, value) for name, value in case.values)
            if case.after_seq < 0:
                change = Change(-1, "", tunables) if tunables else None
                return what_if(recorded, case.policy, size, change=change, progress=self._told)
            change = Change(case.after_seq, case.policy, tunables, size)
            return what_if(recorded, AS_IT_WAS, change=change, progress=self._told)

    def _told(self, share: float) -> None:
        self.progress = share
        if self._stop:
            raise Stopped

    def served(self, case: Case | None) -> Callable[[int], int]:
        """Cached tokens by request: of a case that has run, None for as recorded."""
        if case is None:
            return lambda seq: self.requests[seq].cached_tokens
        served = self.outcomes[case].cached_by_request
        return lambda seq: served.get(seq, 0)

    def hit_rate(self, case: Case | None, after_seq: int = -1) -> float | None:
        """Cached share of all prompt tokens of the requests after event `after_seq`; None without any."""
        served = self.served(case)
        later = [(seq, facts) for seq, facts in self.requests.items() if seq > after_seq]
        prompt = sum(facts.prompt_tokens for _, facts in later)
        return sum(served(seq) for seq, _ in later) / prompt if prompt else None

    def first_difference(self, one: Case | None, other: Case | None, after_seq: int = -1) -> Difference | None:
        """The first request after event `after_seq` that two runs served differently."""
        first, second = self.served(one), self.served(other)
        for seq in sorted(seq for seq in self.requests if seq > after_seq):
            if first(seq) != second(seq):
                return Difference(seq, self.requests[seq], first(seq), second(seq))
        return None

    def other_victim(self, one: Case, other: Case, after_seq: int = -1) -> OtherVictim | None:
        """Where two runs first evicted something else after event `after_seq`, None if they never did."""
        first, second = ([gone for gone in self.outcomes[case].gone if gone.seq > after_seq] for case in (one, other))
        for here, there in zip_longest(first, second):
            if here is None or there is None or here.held != there.held or here.seq != there.seq:
                return OtherVictim(here, there)
        return None

    def hit_series(self, case: Case | None, after_seq: int, places: int) -> list[float]:
        """Hit rate of the requests after event `after_seq`, in at most so many equal parts of them."""
        served = self.served(case)
        later = sorted(seq for seq in self.requests if seq > after_seq)
        places = min(places, len(later))
        cut = [later[len(later) * place // places : len(later) * (place + 1) // places] for place in range(places)]
        prompts = [sum(self.requests[seq].prompt_tokens for seq in part) for part in cut]
        return [sum(map(served, part)) / prompt if prompt else 0.0 for part, prompt in zip(cut, prompts, strict=True)]

    def moment_of(self, seq: int) -> int:
        """When event `seq` came, UTC nanoseconds. Raises StorageError."""
        with open_session(self.path) as session:
            return session.arrived_ns(seq)

    def by_agent(self, case: Case | None, after_seq: int = -1) -> dict[str, tuple[int, int]]:
        """(prompt, cached) tokens by agent, the one that asked most first."""
        served = self.served(case)
        sums: dict[str, tuple[int, int]] = {}
        for seq, facts in self.requests.items():
            if seq > after_seq:
                prompt, cached = sums.get(facts.agent, (0, 0))
                sums[facts.agent] = prompt + facts.prompt_tokens, cached + served(seq)
        return dict(sorted(sums.items(), key=lambda item: -item[1][0]))
