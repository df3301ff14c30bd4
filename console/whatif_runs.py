"""What-ifs of one recording side by side: run in a process of their own, kept, and compared by request."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Gone

from .aside import Aside, AsideError
from .whatif_case import Case
from .whatif_child import MODULE, Report, WhatIfTask
from .whatif_columns import Codes, Column, Evictions, Holder, Ran, Requests


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


class WhatIfs:
    """`outcomes` and `failed`: what became of each case. `requests`: None until the first run has read the recording.

    `running`, `progress`: the case under way and how far it has come, 0 to 1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: dict[Case, Ran] = {}
        self.failed: dict[Case, str] = {}
        self.running: Case | None = None
        self.progress = 0.0
        self.requests: Requests | None = None
        self.capacity_tokens = 0
        self._served: dict[Case, Column] = {}
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
        self.outcomes[case], self.capacity_tokens = found, found.capacity_tokens
        self.requests = requests = Requests(found)
        self._served = {known: requests.aligned(told) for known, told in self.outcomes.items()}
        self._evictions[case] = Evictions(found, self._holders)

    def served(self, case: Case | None) -> Column:
        """Cached tokens by request: of a case that has run, None for as recorded."""
        if case is not None:
            return self._served[case]
        return np.zeros(0, np.int64) if self.requests is None else self.requests.recorded

    def hit_rate(self, case: Case | None, after_seq: int = -1) -> float | None:
        """Cached share of all prompt tokens of the requests after event `after_seq`; None without any."""
        if self.requests is None:
            return None
        later = self.requests.later(after_seq)
        prompt = int(self.requests.prompts[later:].sum())
        return int(self.served(case)[later:].sum()) / prompt if prompt else None

    def first_difference(self, one: Case | None, other: Case | None, after_seq: int = -1) -> Difference | None:
        """The first request after event `after_seq` that two runs served differently."""
        requests = self.requests
        if requests is None:
            return None
        first, second, later = self.served(one), self.served(other), requests.later(after_seq)
        differs = first[later:] != second[later:]
        if not differs.any():
            return None
        place = later + int(differs.argmax())
        agent = requests.agent_names[int(requests.agents[place])]
        facts = Facts(requests.rids[place], agent, int(requests.prompts[place]), int(requests.recorded[place]))
        return Difference(int(requests.seqs[place]), facts, int(first[place]), int(second[place]))

    def other_victim(self, one: Case, other: Case, after_seq: int = -1) -> OtherVictim | None:
        """Where two runs first evicted something else after event `after_seq`, None if they never did."""
        found = self._evictions[one].parting(self._evictions[other], after_seq)
        return None if found is None else OtherVictim(*found)

    def hit_series(self, case: Case | None, after_seq: int, places: int) -> list[float]:
        """Hit rate of the requests after event `after_seq`, in at most so many equal parts of them."""
        if self.requests is None:
            return []
        later = self.requests.later(after_seq)
        prompts, served = self.requests.prompts[later:], self.served(case)[later:]
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

    def by_agent(self, case: Case | None, after_seq: int = -1) -> dict[str, tuple[int, int]]:
        """(prompt, cached) tokens by agent, the one that asked most first."""
        requests = self.requests
        if requests is None:
            return {}
        later, number = requests.later(after_seq), len(requests.agent_names)
        agents = requests.agents[later:]
        asked = np.bincount(agents, minlength=number)
        prompts = np.bincount(agents, requests.prompts[later:], number)
        cached = np.bincount(agents, self.served(case)[later:], number)
        order = sorted((place for place in range(number) if asked[place]), key=lambda place: -prompts[place])
        return {requests.agent_names[place]: (int(prompts[place]), int(cached[place])) for place in order}
