"""A what-if by agent: everybody's requests are counted, also of more agents than the fold keeps apart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from storage_samples import Numbering, recorded
from test_whatif import served, started

from radixdeck.policies import events as ev
from radixdeck.policies.fold import others as fold_others
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Outcome, Recorded, what_if

AGENTS = 60


@pytest.fixture
def outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """Many agents that ask twice each, of which few are kept apart, under two policies."""
    monkeypatch.setattr(fold_others, "AGENTS_KEPT", 20)
    monkeypatch.setattr(fold_others, "AGENTS_LEFT", 10)
    number, path = Numbering(), tmp_path / "run.sqlite"
    asked = [(f"agent{place % AGENTS}", f"{chr(200 + place % AGENTS)}bcde", "") for place in range(2 * AGENTS)]
    events: list[ev.AnyEvent] = [started(40), *(e for i, a in enumerate(asked) for e in served(number, i, a))]
    asyncio.run(recorded(path, events))
    with open_session(path) as session:
        run = Recorded(session)
        return [what_if(run, policy) for policy in ("lru", "kv_caching")]


def test_every_agent_has_a_row_and_the_rows_add_up(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        assert len(outcome.agents) == AGENTS
        assert {agent.requests for agent in outcome.agents} == {2}
        assert sum(agent.prompt_tokens for agent in outcome.agents) == outcome.prompt_tokens
        assert sum(agent.cached_tokens for agent in outcome.agents) == outcome.cached_tokens
        assert sum(agent.recorded_tokens for agent in outcome.agents) == outcome.recorded_tokens


def test_what_hurt_is_not_told_of_those_that_were_added_up(outcomes: list[Outcome]) -> None:
    told = [agent.evictions_that_hurt for agent in outcomes[0].agents]
    assert None in told
