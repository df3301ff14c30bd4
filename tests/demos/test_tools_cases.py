"""The cases of memoization: what is called in which session, what makes a run doubtful, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from comparison_runs import summary

from radixdeck.demos import policy_runs
from radixdeck.demos.apart import Drive
from radixdeck.demos.drive import Outcome
from radixdeck.demos.memo_trace import Seen, Step
from radixdeck.demos.policy_cases_tools import MEMOIZATION, RULES, STEPS, nothing_again, shared_store
from radixdeck.demos.policy_measures import TOOL_MEAN, TOOL_RUNS, WRONG, Counted
from radixdeck.demos.policy_record import settings_of
from radixdeck.demos.policy_runs import Half
from radixdeck.demos.spec import Turn
from radixdeck.policies.residency import Rulings
from radixdeck.policies.tools.rules import read_memo_rules

CASE = MEMOIZATION[0]


@pytest.mark.parametrize("make", [shared_store, nothing_again])
def test_between_two_requests_of_a_session_is_a_call_whose_result_the_next_one_brings(
    make: Callable[[int, int], list[Turn]],
) -> None:
    turns = make(11, 64)
    assert len(turns) == 64
    before: dict[str, Turn] = {}
    for turn in turns:
        last = before.get(turn.session)
        assert (turn.call is None) == (last is None)
        if last is not None and turn.call is not None:
            assert turn.messages[: len(last.messages)] == last.messages
            said, result = turn.messages[len(last.messages) :]
            (call,) = said["tool_calls"]
            assert call["id"] == result["tool_call_id"]
            assert call["function"]["name"] == turn.call.tool
            assert msgspec.json.decode(call["function"]["arguments"]) == turn.call.arguments
        before[turn.session] = turn
    assert all(turn.last for turn in before.values())
    assert {Counter(turn.session for turn in turns)[session] for session in before} == {STEPS}


def asked(turns: list[Turn]) -> Counter[bytes]:
    return Counter(msgspec.json.encode(turn.call) for turn in turns if turn.call is not None)


def test_agents_ask_again_what_was_asked_and_change_some_of_it() -> None:
    known = asked(shared_store(101, 160))
    assert known.total() == 140
    assert len(known) < 0.6 * known.total()
    tools = Counter(turn.call.tool for turn in shared_store(101, 160) if turn.call is not None)
    assert set(tools) == {"get", "search", "put"}
    assert 3 <= tools["put"] <= 20
    assert set(asked(nothing_again(101, 96)).values()) == {1}
    assert not set(asked(nothing_again(101, 96))) & set(asked(nothing_again(102, 96)))


def test_the_rules_say_what_changes_what() -> None:
    rules = read_memo_rules(RULES)
    assert sorted(rules.changed_by("put")) == ["get", "search"]
    assert (rules.per("get", "put"), rules.per("search", "put")) == ("key", None)


def half(calls: int = 10, runs: int = 10, wrong: float = 0.0, tokens: int = 1_000, said: tuple[str, ...] = ()) -> Half:
    return Half(
        measures={WRONG.name: wrong}, summary=summary(0.5, 0.1, prompt_tokens=tokens), tool_calls=calls,
        tool_runs=runs, tools_said=list(said),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("off", "on", "fault"),
    [
        (half(), half(runs=4), ""),
        (half(runs=9), half(runs=4), "off: 9 runs of tools for 10 calls"),
        (half(), half(runs=4, wrong=2.0), "on: 2 answers of tools cannot have been so"),
        (half(wrong=1.0), half(), "off: 1 answers of tools cannot have been so"),
        (half(), half(said=("radixdeck mcp-proxy: tool get off: two results",)), "on: radixdeck mcp-proxy: tool get"),
        (half(said=("radixdeck mcp-proxy: the broker does not answer",)), half(), "off: radixdeck mcp-proxy: the bro"),
        (half(), half(tokens=1_010), ""),
        (half(), half(tokens=1_011), "prompts differ: 1000 and 1011 tokens"),
    ],
)
def test_what_makes_calls_doubtful(off: Half, on: Half, fault: str) -> None:
    found = policy_runs._faults(CASE, off, on)
    assert [one[: len(fault)] for one in found] == ([fault] if fault else [])


def test_without_tools_prompts_are_the_same_to_the_token() -> None:
    assert policy_runs._faults(replace(CASE, tool_s=0.0), half(), half(tokens=1_001)) != []


def outcome(seen: Seen | None, error: str = "") -> Outcome:
    return Outcome(index=0, agent="a", session="s", seen=seen, error=error)


def test_a_half_tells_calls_runs_and_answers_that_cannot_have_been_so() -> None:
    stored = Seen("a", Step("put", {"key": "k", "value": "red"}), 1.0, 1.5, "stored")
    right, stale = (Seen("a", Step("get", {"key": "k"}), 2.0, 2.1, answer) for answer in ("red", "nothing"))
    drive = Drive([outcome(None), outcome(stale), outcome(stored), outcome(right)], 3.0)
    none = Rulings()
    told = policy_runs._half(CASE, drive, none, none, Counted(tool_runs=2), False)
    assert (told.tool_calls, told.tool_runs, told.measures[TOOL_RUNS.name]) == (3, 2, 2.0)
    assert told.measures[TOOL_MEAN.name] == pytest.approx(1000 * (0.5 + 0.1 + 0.1) / 3)
    assert told.measures[WRONG.name] == 1.0
    assert TOOL_MEAN.of(Drive([outcome(None)], 1.0)) == 0.0


def test_its_daemon_is_started_with_the_policy_so_that_the_proxy_follows(tmp_path: Path) -> None:
    for case, enabled in ((CASE, ["memoization"]), (replace(CASE, tool_s=0.0), [])):
        folder = tmp_path / str(case.tool_s)
        folder.mkdir()
        assert policy_runs._config(case, "m", str(tmp_path), folder).policy.enabled == [*case.beside, *enabled]


def test_other_tools_make_another_case_and_older_records_stay_what_they_are() -> None:
    assert settings_of(CASE)["tool_s"] == CASE.tool_s
    assert settings_of(CASE) != settings_of(replace(CASE, tool_s=0.1))
    assert "tool_s" not in settings_of(replace(CASE, tool_s=0.0))
