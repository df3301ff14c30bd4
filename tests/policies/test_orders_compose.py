"""Every subset of what stands at the door, in overload on a modelled server: everybody is served, and the bound on
being overtaken is that of the policy that ranks first."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from door_load import Server, Step

from radixdeck.policies import registry
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Doorkeeper

AT_THE_DOOR = tuple(name for name in sorted(registry.BUILT_IN) if isinstance(registry.create(name), Doorkeeper))
SUBSETS = [chosen for size in range(len(AT_THE_DOOR) + 1) for chosen in combinations(AT_THE_DOOR, size)]
PATIENCE_S = {"batch_shaping": 3.0, "critical_path": 6.0}
TUNED = {
    "batch_shaping": {"ahead": 2.0, "patience_s": PATIENCE_S["batch_shaping"]},
    "critical_path": {"ahead": 3.0, "patience_s": PATIENCE_S["critical_path"]},
    "fairness": {"places": 4.0, "quantum": 2_000.0},
}


def overload(policies: tuple[str, ...]) -> Server:
    rng = random.Random("overload")
    host = DoorHost(list(policies), TUNED)
    server = Server(host, anchors={f"agent{n}": 500 for n in range(6)}, cached_agents=2, priorities=True)
    for number in range(40):
        steps = [
            Step(f"agent{rng.randrange(6)}", f"s{number}", tail=rng.randint(50, 300), output=rng.randint(5, 30))
            for _ in range(rng.choice((1, 1, 2, 9)))
        ]
        server.add(rng.random() * 15, steps)
    return server.run()


@pytest.mark.parametrize("policies", SUBSETS, ids="+".join)
def test_any_combination_serves_everybody_and_keeps_the_first_ones_bound(policies: tuple[str, ...]) -> None:
    seen = overload(policies).seen.values()
    assert len(seen) == len(overload(()).seen)
    assert all(one.ended_s > one.begun_s >= one.entered_s >= one.came_s for one in seen)
    if "fairness" not in policies and (first := next((name for name in PATIENCE_S if name in policies), "")):
        assert 0.0 < max(one.overtaken_s for one in seen) < PATIENCE_S[first]
