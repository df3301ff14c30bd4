"""What-ifs of a recording that another version made: tunables that are no more, policies that are not installed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from storage_samples import Numbering, recorded
from test_whatif import served, started, traffic

from radixdeck.storage.recorded import Tuned
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import AS_IT_WAS, Outcome, Recorded, what_if

GONE = Tuned("kv_caching", "half_life_s", 5.0)
OUT_OF_BOUNDS = Tuned("kv_caching", "turnover", -1.0)


def asked(path: Path, policy: str, **tunables: dict[str, float]) -> Outcome:
    number = Numbering()
    events = [started(30, "kv_caching"), *(e for i, a in enumerate(traffic(3)) for e in served(number, i, a))]
    path.unlink(missing_ok=True)
    asyncio.run(recorded(path, events, policy={"tunables": tunables}))
    with open_session(path) as session:
        return what_if(Recorded(session), policy)


@pytest.mark.parametrize("policy", ["kv_caching", AS_IT_WAS])
def test_a_policy_runs_without_tunables_that_it_does_not_take_and_says_so(tmp_path: Path, policy: str) -> None:
    plain = asked(tmp_path / "a.db", policy)
    outcome = asked(tmp_path / "a.db", policy, kv_caching={"half_life_s": 5.0, "turnover": -1.0}, theirs={"x": 2.0})
    assert (plain.unknown_tunables, outcome.unknown_tunables) == ([], [GONE, OUT_OF_BOUNDS])
    assert outcome.cached_by_request == plain.cached_by_request


def test_what_has_no_part_in_it_is_not_spoken_of(tmp_path: Path) -> None:
    assert asked(tmp_path / "a.db", "lru", kv_caching={"half_life_s": 5.0}, theirs={"x": 2.0}).unknown_tunables == []


def test_those_beside_it_that_are_known_hold(tmp_path: Path) -> None:
    tunables = {"kv_caching": {"turnover": 3.0, "half_life_s": 5.0}, "theirs": {"x": 2.0}}
    events = [started(30, "kv_caching"), *served(Numbering(), 0, ("x", "ab", ""))]
    asyncio.run(recorded(tmp_path / "a.db", events, policy={"tunables": tunables}))
    with open_session(tmp_path / "a.db") as session:
        assert Recorded(session).tunables() == ({"kv_caching": {"turnover": 3.0}}, [GONE, Tuned("theirs", "x", 2.0)])
