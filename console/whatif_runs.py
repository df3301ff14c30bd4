"""What-ifs of one recording side by side: run one after the other in a thread, kept, compared request by request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from radixdeck.policies.host import PolicyError
from radixdeck.storage.errors import StorageError
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Outcome, Recorded, what_if

AS_RECORDED = "as recorded"


class Case(NamedTuple):
    """One what-if to run: a policy, and the cache `times` as large as it was."""

    policy: str
    times: float = 1.0


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

    def stop(self) -> None:
        """End the run under way; what is done already stays."""
        self._stop = True

    def run(self, case: Case) -> None:
        """Run one case; blocks. What goes wrong with it is kept in words in `failed`."""
        self.running, self.progress, self._stop = case, 0.0, False
        self.failed.pop(case, None)
        try:
            self.outcomes[case] = self._run(case)
        except (StorageError, PolicyError) as error:
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
            return what_if(recorded, case.policy, size, progress=self._told)

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

    def by_agent(self, case: Case | None, after_seq: int = -1) -> dict[str, tuple[int, int]]:
        """(prompt, cached) tokens by agent, the one that asked most first."""
        served = self.served(case)
        sums: dict[str, tuple[int, int]] = {}
        for seq, facts in self.requests.items():
            if seq > after_seq:
                prompt, cached = sums.get(facts.agent, (0, 0))
                sums[facts.agent] = prompt + facts.prompt_tokens, cached + served(seq)
        return dict(sorted(sums.items(), key=lambda item: -item[1][0]))
