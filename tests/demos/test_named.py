"""The five named workloads: anchors and shapes lie where they are said to, and the tight size is tight."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from statistics import fmean

import msgspec
import pytest

from radixdeck.demos.casts import CASTS
from radixdeck.demos.named import NAMED, REQUESTS, spec_of
from radixdeck.demos.shape import main, sweep, token_ids
from radixdeck.demos.tasks import question
from radixdeck.demos.workloads import TUNING_SEEDS, WorkloadError, WorkloadSpec, generate, make_agents

SEED = TUNING_SEEDS[0]


@pytest.mark.parametrize("name", NAMED)
def test_a_named_workload_is_the_same_by_seed_and_another_with_another(name: str) -> None:
    assert generate(spec_of(name, SEED)) == generate(spec_of(name, SEED))
    assert generate(spec_of(name, SEED)) != generate(spec_of(name, SEED + 1))
    assert len(generate(spec_of(name, SEED))) == REQUESTS


def test_a_workload_that_has_no_name_is_refused() -> None:
    with pytest.raises(WorkloadError, match="no 'chess'; known: mmlu, mt_bench, gaia, gsm8k, humaneval"):
        spec_of("chess", SEED)


@pytest.mark.parametrize("name", NAMED)
def test_anchors_are_as_long_as_the_literature_says_and_as_the_cast_says(name: str) -> None:
    turns = {turn.agent: turn for turn in generate(spec_of(name, SEED))}
    assert set(turns) <= {role.name for role in CASTS[name].roles}
    for role in CASTS[name].roles:
        if role.name in turns:
            head = msgspec.structs.replace(turns[role.name], messages=turns[role.name].messages[:1])
            assert len(token_ids(head)) == pytest.approx(role.anchor_tokens, rel=0.25)
            assert [tool["function"]["name"] for tool in turns[role.name].tools] == list(role.tools)


@pytest.mark.parametrize("name", NAMED)
def test_anchors_are_about_two_thirds_of_what_is_asked_at_most(name: str) -> None:
    turns = generate(spec_of(name, SEED))
    heads = [len(token_ids(msgspec.structs.replace(turn, messages=turn.messages[:1]))) for turn in turns]
    share = sum(heads) / sum(len(token_ids(turn)) for turn in turns)
    assert 0.5 <= share <= 0.7


@pytest.mark.parametrize("name", NAMED)
def test_at_the_tight_size_the_bound_is_farthest_above_lru_and_at_the_largest_they_meet(name: str) -> None:
    tight, _, roomy = NAMED[name].kv_tokens
    leads: list[list[float]] = []
    for seed in TUNING_SEEDS:
        *near, last = sweep(spec_of(name, seed), [tight, tight - 1_000, tight + 1_000, roomy])
        leads.append([100 * (one.bound - one.lru) for one in near])
        assert last.lru == last.bound == last.endless
    least = [min(lead) for lead in zip(*leads, strict=True)]
    assert least[0] == max(least) >= 20
    assert fmean(lead[0] for lead in leads) >= 25


@pytest.mark.parametrize(
    ("name", "shortest", "longest"),
    [("mmlu", 200, 700), ("mt_bench", 70, 220), ("gaia", 200, 420), ("gsm8k", 160, 330), ("humaneval", 300, 520)],
)
def test_questions_are_as_long_as_those_of_their_data_set(name: str, shortest: int, longest: int) -> None:
    lengths = [len(question(Random(n), CASTS[name].kind)) for n in range(40)]
    assert shortest <= min(lengths)
    assert max(lengths) <= longest


def test_a_judged_conversation_has_two_turns_of_the_person() -> None:
    turns = generate(spec_of("mt_bench", SEED, 200))
    ended = [turn for turn in turns if turn.last]
    assert ended
    for turn in ended:
        assert turn.agent == "judge"
        spoken = [m for m in turn.messages if m["role"] == "user" and not m["content"].startswith("[")]
        assert len(spoken) == 2


def test_a_debater_hears_the_others_and_keeps_what_it_said() -> None:
    turns = [turn for turn in generate(spec_of("mmlu", SEED, 120)) if turn.agent == "scientist"]
    again = next(turn for turn in turns if len(turn.messages) == 4)
    assert again.messages[2]["role"] == "assistant"
    assert again.messages[3]["content"].count(" says: ") == 3


def test_coder_and_executor_alternate_until_the_tests_pass() -> None:
    turns = [turn for turn in generate(spec_of("humaneval", SEED, 200)) if turn.session == f"s{SEED}-000"]
    path = [turn.agent for turn in turns]
    assert path[0] == "planner"
    assert path[-1] == "reviewer"
    assert all(after == "executor" for before, after in pairwise(path) if before == "coder")


def test_the_orchestrator_makes_every_other_call() -> None:
    turns = [turn for turn in generate(spec_of("gaia", SEED, 200)) if turn.session == f"s{SEED}-000"]
    assert {turn.agent for turn in turns[::2]} == {"orchestrator"}


def test_a_cast_can_be_larger_than_its_roles_and_written_for_one_session() -> None:
    names = [agent.name for agent in make_agents(WorkloadSpec(cast="gsm8k", agents=12))]
    assert len(set(names)) == 12
    assert names[6] == "planner-2"
    turns = generate(msgspec.structs.replace(spec_of("gsm8k", SEED, 60), per_task=True))
    sessions = {turn.session for turn in turns if turn.agent == "planner"}
    assert len({turn.messages[0]["content"] for turn in turns if turn.agent == "planner"}) == len(sessions)


def test_the_sizes_can_be_looked_at_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gsm8k", "--requests", "20", "--sizes", "6000", "80000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("gsm8k: 20 prompts of")
    assert [line.split()[0] for line in lines[-2:]] == ["6,000", "80,000"]
