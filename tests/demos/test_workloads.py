"""The generators: the same seed gives the same requests, sizes and shares lie where the docstrings say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import msgspec
import pytest

from radixdeck.demos.graphs import TOPOLOGIES
from radixdeck.demos.prompts import PROSE_CHARS_PER_TOKEN, agent_names, schema_tokens, system_prompt
from radixdeck.demos.workloads import (
    REPORT_SEEDS,
    TUNING_SEEDS,
    Turn,
    WorkloadError,
    WorkloadSpec,
    generate,
    make_agents,
)


def anchor_chars(turn: Turn) -> int:
    return len(turn.messages[0]["content"]) + len(msgspec.json.encode(turn.tools))


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("style", ["private", "supervisor"])
def test_the_same_seed_gives_the_same_requests(topology: str, style: str) -> None:
    spec = msgspec.convert({"seed": 5, "requests": 60, "topology": topology, "style": style}, WorkloadSpec)
    turns = generate(spec)
    assert len(turns) == 60
    assert turns == generate(spec)
    assert turns != generate(msgspec.structs.replace(spec, seed=6))


def test_a_longer_workload_begins_with_the_shorter_one() -> None:
    assert generate(WorkloadSpec(requests=80))[:30] == generate(WorkloadSpec(requests=30))


@pytest.mark.parametrize("agents", [6, 12, 24])
def test_anchors_lie_within_their_bounds_and_belong_to_their_agent(agents: int) -> None:
    made = make_agents(WorkloadSpec(agents=agents, seed=3))
    assert [agent.name for agent in made] == agent_names(agents)
    assert len({agent.system for agent in made}) == agents
    for agent in made:
        tokens = len(agent.system) / PROSE_CHARS_PER_TOKEN + schema_tokens(agent.tools)
        assert 450 <= tokens <= 1_600
        assert agent.tools


def test_a_roster_larger_than_the_roles_there_are_is_numbered() -> None:
    names = agent_names(200)
    assert len(set(names)) == 200
    assert names[:24] == agent_names(24)
    assert names[24] == "planner-2"
    turns = generate(WorkloadSpec(agents=200, topology="random", requests=300, sessions=20))
    assert len({turn.agent for turn in turns}) > 100


def test_a_roster_that_changes_brings_newcomers_in_the_second_half_only() -> None:
    turns = generate(WorkloadSpec(shift="roster", requests=200, sessions=4))
    new = [place for place, turn in enumerate(turns) if turn.agent.startswith("new_")]
    assert len(new) > 30
    assert min(new) >= 100
    old = {turn.messages[0]["content"] for turn in turns[:100]}
    assert not old & {turns[place].messages[0]["content"] for place in new}


def test_a_topology_that_changes_leaves_the_first_half_alone() -> None:
    before = generate(WorkloadSpec(requests=200, topology="pipeline"))
    after = generate(WorkloadSpec(requests=200, topology="pipeline", shift="topology"))
    assert before[:100] == after[:100]
    assert before != after


def test_prompts_written_per_task_are_never_shared_between_sessions() -> None:
    sessions: dict[str, set[str]] = {}
    for turn in generate(WorkloadSpec(per_task=True, requests=120, sessions=4)):
        sessions.setdefault(turn.messages[0]["content"], set()).add(turn.session)
    assert {len(seen) for seen in sessions.values()} == {1}
    assert len(sessions) > 20


def test_the_last_request_of_a_session_is_known_where_the_session_ended() -> None:
    turns = generate(WorkloadSpec(requests=120))
    last = {turn.session: place for place, turn in enumerate(turns)}
    ends = {turn.session for turn in turns if turn.last}
    assert 5 < len(ends) < len(last)
    assert all(turns[last[session]].last for session in ends)
    assert sum(turn.last for turn in turns) == len(ends)


def test_every_request_of_an_agent_starts_with_its_anchor() -> None:
    anchors = {agent.name: (agent.system, agent.tools) for agent in make_agents(WorkloadSpec())}
    for turn in generate(WorkloadSpec(requests=100)):
        assert (turn.messages[0]["content"], turn.tools) == anchors[turn.agent]


@pytest.mark.parametrize("seed", TUNING_SEEDS)
def test_anchors_are_about_half_of_what_is_asked(seed: int) -> None:
    turns = generate(WorkloadSpec(seed=seed))
    total = sum(anchor_chars(turn) + sum(len(m["content"]) for m in turn.messages[1:]) for turn in turns)
    share = sum(map(anchor_chars, turns)) / total
    assert 0.34 <= share <= 0.65


def test_sessions_are_interleaved_and_histories_only_grow() -> None:
    turns = generate(WorkloadSpec(requests=200, topology="random", sessions=5, pause_requests=4))
    seen: dict[tuple[str, str], list[object]] = {}
    for turn in turns:
        before = seen.get((turn.session, turn.agent), [])
        assert turn.messages[: len(before)] == before
        seen[(turn.session, turn.agent)] = list(turn.messages)
    changes = sum(a.session != b.session for a, b in pairwise(turns))
    assert changes > len(turns) / 2


def test_a_supervisor_style_agent_sees_what_the_others_said() -> None:
    turns = generate(WorkloadSpec(requests=40, sessions=1, topology="pipeline", style="supervisor"))
    second = next(turn for turn in turns if turn.agent == "researcher")
    assert any(message["content"].startswith("[planner]") for message in second.messages)


@pytest.mark.parametrize("agents", [1, 2, 3, 6, 24])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_walks_end_and_stay_within_the_agents(topology: str, agents: int) -> None:
    walk = TOPOLOGIES[topology](agents, 1)
    for number in range(20):
        path = list(walk(Random(number)))
        assert path
        assert set(path) <= set(range(agents))


def test_a_pipeline_visits_everybody_and_a_selector_returns_to_its_supervisor() -> None:
    assert set(TOPOLOGIES["pipeline"](6, 1)(Random(1))) == set(range(6))
    path = list(TOPOLOGIES["selector"](6, 1)(Random(1)))
    assert path[::2] == [0] * len(path[::2])


def test_a_selector_has_a_favourite_successor_that_can_be_learned() -> None:
    walk = TOPOLOGIES["selector"](6, 1)
    pairs: Counter[tuple[int, int]] = Counter()
    for number in range(200):
        workers = list(walk(Random(number)))[1::2]
        pairs.update(pairwise(workers))
    for worker in range(1, 6):
        after = {second: count for (first, second), count in pairs.items() if first == worker}
        assert max(after.values()) > 0.5 * sum(after.values())


def test_reported_seeds_are_not_those_that_shaped_the_workload() -> None:
    assert not set(TUNING_SEEDS) & set(REPORT_SEEDS)


def test_system_prompts_have_the_asked_size() -> None:
    text = system_prompt(Random(1), "planner", 700)
    assert 630 <= len(text) / PROSE_CHARS_PER_TOKEN <= 770


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agents": 0}, "agents: 0"),
        ({"agents": 1_001}, "agents: 1001 is outside 1 to 1000"),
        ({"topology": "ring"}, "topology: no 'ring'; known: pipeline"),
        ({"cast": "opera"}, "cast: no 'opera'; known: mmlu"),
        ({"requests": 0}, "requests: 0"),
        ({"sessions": -1}, "sessions: -1"),
        ({"pause_requests": 0.0}, "pause_requests"),
        ({"anchor_tokens": (900, 300)}, "anchor_tokens: 900 to 300"),
        ({"material_tokens": (-5, 300)}, "material_tokens"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(WorkloadError, match=words):
        generate(msgspec.structs.replace(WorkloadSpec(), **change))
