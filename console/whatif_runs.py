"""What-ifs of one recording side by side: run in a process of their own, kept, and compared by request."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from radixdeck.storage.session import open_session

from .aside import Aside, AsideError
from .whatif_case import Case
from .whatif_child import MODULE, Report, WhatIfTask
from .whatif_columns import Codes, Column, Evictions, Holder, OtherVictim, Ran, Requests, Served


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


class WhatIfs:
    """`outcomes` and `failed`: what became of each case. `requests`: None until the first run has read the recording.

    `sizes`: those that the real cache had, smallest first, none until a run has told them.

    `running`, `progress`: the case under way and how far it has come, 0 to 1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: dict[Case, Ran] = {}
        self.failed: dict[Case, str] = {}
        self.running: Case | None = None
        self.progress = 0.0
        self.requests: Requests | None = None
        self.sizes: list[int] = []
        self._served: dict[Case, Served] = {}
        self._evictions: dict[Case, Evictions] = {}
        self._holders = Codes[Holder]()

    async def run(self, cases: Iterable[Case]) -> None:
        """Run some, in one process if it does not fail; what goes wrong with one is kept in words in `failed`.
        Cancelled, the one under way is stopped at once."""
        left = iter(cases)
        for first in left:
            self.running = first
            try:
                async with Aside(MODULE, WhatIfTask(str(self.path)), Report) as aside:
                    for case in itertools.chain([first], left):
                        await self._run(aside, case)
            except AsideError as error:
                self.failed[self.running] = str(error)
            except asyncio.CancelledError:
                self.failed[self.running] = "stopped"
                raise
            finally:
                self.running = None

    async def _run(self, aside: Aside[Report], case: Case) -> None:
        """Raises AsideError."""
        self.running, self.progress = case, 0.0
        self.failed.pop(case, None)
        told = await aside.ask(case)
        while told.found is None and not told.failed:
            self.progress = told.share
            told = await aside.next()
        if told.found is None:
            self.failed[case] = told.failed
        else:
            self.keep(case, told.found)

    def keep(self, case: Case, found: Ran) -> None:
        """A run later than others may have read more of a recording that grows."""
        self.outcomes[case], self.sizes = found, found.sizes
        self.requests = requests = Requests(max(self.outcomes.values(), key=lambda told: told.last_seq))
        self._served = {known: requests.aligned(told) for known, told in self.outcomes.items()}
        self._evictions[case] = Evictions(found, self._holders)

    def served(self, case: Case | None) -> Column:
        """Cached tokens by request: of a case that has run, None for as recorded."""
        if case is not None:
            return self._served[case].cached
        return np.zeros(0, np.int64) if self.requests is None else self.requests.recorded

    def missed(self, case: Case) -> int:
        """Requests that came after a case was run."""
        return int(np.count_nonzero(~self._served[case].seen)) if case in self._served else 0

    def wants(self, case: Case) -> bool:
        """Whether it has not run, or not over all that is known."""
        return case not in self.outcomes or self.missed(case) > 0

    def hit_rate(self, case: Case | None, after_seq: int = -1, beside: Case | None = None) -> float | None:
        """Cached share of all prompt tokens of the requests after event `after_seq` that the case saw, and the one
        `beside` it too; None without any."""
        if self.requests is None:
            return None
        both = self._seen(after_seq, case, beside)
        prompt = int(self.requests.prompts[both].sum())
        return int(self.served(case)[both].sum()) / prompt if prompt else None

    def points(self, base: Case | None, case: Case, after_seq: int = -1) -> float:
        """Hit rate of a case less that of another, over the requests that both saw; 0 without any."""
        rate, than = self.hit_rate(case, after_seq, base), self.hit_rate(base, after_seq, case)
        return 100 * ((rate or 0.0) - (than or 0.0))

    def _seen(self, after_seq: int, *cases: Case | None) -> Column:
        """Places of the requests after event `after_seq` that all of these saw; what really happened is all seen."""
        if self.requests is None:
            return np.zeros(0, np.int64)
        seen = self.requests.seqs > after_seq
        for case in cases:
            seen &= True if case is None else self._served[case].seen
        return np.flatnonzero(seen)

    def first_difference(self, one: Case | None, other: Case | None, after_seq: int = -1) -> Difference | None:
        """The first request after event `after_seq` that two runs served differently, of those that both saw."""
        requests = self.requests
        if requests is None:
            return None
        first, second, both = self.served(one), self.served(other), self._seen(after_seq, one, other)
        differs = first[both] != second[both]
        if not differs.any():
            return None
        place = int(both[differs.argmax()])
        agent = requests.agent_names[int(requests.agents[place])]
        facts = Facts(requests.rids[place], agent, int(requests.prompts[place]), int(requests.recorded[place]))
        return Difference(int(requests.seqs[place]), facts, int(first[place]), int(second[place]))

    def other_victim(self, one: Case, other: Case, after_seq: int = -1) -> OtherVictim | None:
        """Where two runs first evicted something else after event `after_seq`, None if they never did, or if one of
        them saw less: what was still running at its end took other room."""
        if self.outcomes[one].last_seq != self.outcomes[other].last_seq:
            return None
        return self._evictions[one].parting(self._evictions[other], after_seq)

    def hit_series(self, case: Case | None, after_seq: int, places: int, beside: Case | None = None) -> list[float]:
        """Hit rate of the requests that `hit_rate` counts, in at most so many equal parts of them."""
        if self.requests is None:
            return []
        both = self._seen(after_seq, case, beside)
        prompts, served = self.requests.prompts[both], self.served(case)[both]
        places = min(places, len(prompts))
        edges = [len(prompts) * place // places for place in range(places)] if places else []
        if not edges:
            return []
        rates = np.add.reduceat(served, edges) / np.maximum(1, np.add.reduceat(prompts, edges))
        return [float(rate) for rate in rates]

    def moment_of(self, seq: int) -> int:
        """When event `seq` came, UTC nanoseconds. Raises StorageError."""
        with open_session(self.path) as session:
            return session.arrived_ns(seq)

    def by_agent(
        self, case: Case | None, after_seq: int = -1, beside: Case | None = None
    ) -> dict[str, tuple[int, int]]:
        """(prompt, cached) tokens by agent of the requests that `hit_rate` counts, the one that asked most first."""
        requests = self.requests
        if requests is None:
            return {}
        both, number = self._seen(after_seq, case, beside), len(requests.agent_names)
        agents = requests.agents[both]
        asked = np.bincount(agents, minlength=number)
        prompts = np.bincount(agents, requests.prompts[both], number)
        cached = np.bincount(agents, self.served(case)[both], number)
        order = sorted((place for place in range(number) if asked[place]), key=lambda place: -prompts[place])
        return {requests.agent_names[place]: (int(prompts[place]), int(cached[place])) for place in order}
