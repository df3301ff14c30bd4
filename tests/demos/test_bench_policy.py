"""The bench of policies without an engine: measures, floors and verdicts, the record, the command line, the cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from comparison_runs import summary

from radixdeck.demos import bench_policy, policy_runs
from radixdeck.demos.apart import Drive
from radixdeck.demos.bench_policy import main, parse
from radixdeck.demos.bench_record import RecordError
from radixdeck.demos.drive import Outcome
from radixdeck.demos.policy_case import PolicyCase
from radixdeck.demos.policy_cases import CASES
from radixdeck.demos.policy_measures import (
    AHEAD,
    AHEAD_WASTED,
    HIT_RATE,
    REQUESTS_PER_S,
    TTFT_P50,
    Ahead,
    Counted,
    Floor,
    Measure,
    changed,
)
from radixdeck.demos.policy_record import read, write
from radixdeck.demos.policy_runs import Half, Pair
from radixdeck.demos.policy_verdict import Told, judge, passed, text
from radixdeck.demos.report import HISTORY, Record
from radixdeck.policies.doorkeeping import Ruled
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.registry import BUILT_IN, create
from radixdeck.policies.residency import Rulings

CASE = PolicyCase(
    name="some", says="it is faster", turns=lambda seed, requests: [], requests=9, sessions=1, kv_tokens=1_000,
    measures=(HIT_RATE, REQUESTS_PER_S),
    floors=(
        Floor(measure=HIT_RATE.name, change="difference", least=10.0),
        Floor(measure=REQUESTS_PER_S.name, least=20.0),
    ),
)  # fmt: skip


def half(hit_rate: float, requests_per_s: float, held: int = 0) -> Half:
    numbers = {HIT_RATE.name: hit_rate, REQUESTS_PER_S.name: requests_per_s}
    return Half(measures=numbers, summary=summary(0.5, 0.1), held=held, held_s=2.0 * held)


def told(*pairs: tuple[Half, Half], wanted: int | None = None, faults: tuple[str, ...] = ()) -> Told:
    made = [
        Pair(seed=n, on_first=bool(n % 2), off=off, on=on, faults=list(faults)) for n, (off, on) in enumerate(pairs)
    ]
    units = {measure.name: measure.unit for measure in CASE.measures}
    return Told(
        case="some", says="it is faster", units=units, floors=CASE.floors, wanted=wanted or len(made), pairs=made
    )


def outcome(agent: str, ttft_s: float, cached: int = 0, error: str = "") -> Outcome:
    return Outcome(
        index=0, agent=agent, session="s", ttft_s=ttft_s, prompt_tokens=100, cached_tokens=cached, error=error
    )


def test_a_measure_is_of_the_answered_requests_of_whom_it_names() -> None:
    drive = Drive([outcome("a", 0.1, 50), outcome("b", 0.3, 100), outcome("a", 9.0, error="HTTP 500")], 2.0)
    assert HIT_RATE.of(drive) == 75.0
    assert REQUESTS_PER_S.of(drive) == 1.0
    assert Measure("of b", "ms", TTFT_P50.read, whose="b").of(drive) == 300.0
    assert Measure("of nobody", "ms", TTFT_P50.read, whose="c").of(drive) == 0.0


def test_changes_are_in_percent_or_in_the_unit() -> None:
    assert changed("percent", 50.0, 60.0) == pytest.approx(20.0)
    assert changed("difference", 50.0, 60.0) == 10.0
    assert changed("percent", 0.0, 3.0) == 0.0


def test_floors_are_of_the_mean_over_repetitions() -> None:
    good = told((half(10, 1.0), half(25, 1.5)), (half(10, 1.0), half(16, 1.0)))
    assert judge(good).passed
    verdict = judge(told((half(10, 1.0), half(15, 1.5))))
    assert verdict.missed == ["hit rate +5.0 points, floor at least +10 points"]
    assert not verdict.passed
    ceiling = Floor(measure="x", most=-5.0)
    assert (ceiling.kept(-6.0), ceiling.kept(-4.0)) == (True, False)
    assert ceiling.words("ms") == "at most -5 %"


@pytest.mark.parametrize(
    "doubtful",
    [
        told((half(10, 1.0), half(25, 1.5)), wanted=2),
        told((half(10, 1.0), half(25, 1.5)), faults=("on: 1 requests failed",)),
        told(wanted=3),
    ],
)
def test_what_is_missing_or_doubtful_never_passes(doubtful: Told) -> None:
    assert judge(doubtful).faults
    assert not passed([doubtful])
    assert text([doubtful]).endswith("MISSED")


def test_the_text_has_both_halves_the_change_and_the_verdict() -> None:
    said = text([told((half(10, 1.0), half(25, 1.5, held=3)))])
    assert "some, n=1: 3 held for 2.00 s on the mean" in said
    line = next(line for line in said.splitlines() if "requests/s" in line)
    assert line.split() == ["requests/s", "/s", "1.00", "1.50", "+50.0", "%", "at", "least", "+20", "%"]
    assert said.splitlines()[-2:] == ["some: it is faster: yes", "PASSED"]


def test_what_was_sent_twice_is_told_with_what_it_cost() -> None:
    hedged = msgspec.structs.replace(half(25, 1.5), twice=5, elsewhere=3, wasted_tokens=900)
    assert "5 sent twice, 3 of them answered elsewhere first, at most 900 tokens (" in text(
        [told((half(10, 1.0), hedged))]
    )
    assert "sent twice" not in text([told((half(10, 1.0), half(25, 1.5)))])


@pytest.mark.parametrize(("off", "on", "sound"), [(0, 4, True), (0, 0, False), (1, 4, False)])
def test_a_second_engine_has_to_be_used_and_only_while_the_policy_is_on(off: int, on: int, sound: bool) -> None:
    halves = [msgspec.structs.replace(half(1, 1), twice=number) for number in (off, on)]
    assert (policy_runs._faults(replace(CASE, second=True), *halves) == []) == sound
    assert (policy_runs._faults(CASE, *halves) == []) == (not off)


def test_a_second_engine_need_not_be_used_where_nothing_is_to_be_done() -> None:
    case = replace(CASE, second=True, holds=False)
    assert policy_runs._faults(case, half(1, 1), half(1, 1)) == []
    assert policy_runs._faults(case, msgspec.structs.replace(half(1, 1), twice=1), half(1, 1)) != []


def test_all_of_them_is_every_policy_without_the_slot_of_eviction() -> None:
    (case,) = CASES["all"]
    choices = {name for name in BUILT_IN if create(name).slot != "eviction"}
    assert {*case.together} == choices - {"operator"}


def counting(ahead: Ahead) -> dict[str, float]:
    drive, none = Drive([outcome("a", 0.1)], 1.0), Rulings()
    case = replace(CASE, counts=(AHEAD, AHEAD_WASTED))
    return policy_runs._half(case, drive, none, none, Counted(ahead=ahead), False).measures


def test_what_was_computed_ahead_is_wasted_unless_a_request_found_it() -> None:
    before, after = Ahead(tokens=100, used_tokens=90), Ahead(tokens=500, used_tokens=390)
    numbers = counting(policy_runs._since(before, after))
    assert (numbers[AHEAD.name], numbers[AHEAD_WASTED.name]) == (400.0, 25.0)
    assert counting(Ahead())[AHEAD_WASTED.name] == 0.0
    assert counting(Ahead(tokens=10))[AHEAD_WASTED.name] == 100.0
    assert counting(Ahead(tokens=10, used_tokens=11))[AHEAD_WASTED.name] == 0.0, "events that were lost"


def test_what_is_computed_ahead_is_told_in_tokens_and_doubted_while_the_policy_is_off() -> None:
    halves = [
        msgspec.structs.replace(half(1, 1), measures=counting(Ahead(tokens=n, used_tokens=n // 2))) for n in (0, 800)
    ]
    units = {AHEAD.name: AHEAD.unit, AHEAD_WASTED.name: AHEAD_WASTED.unit}
    floors = (Floor(measure=AHEAD_WASTED.name, change="difference", most=40.0),)
    one = msgspec.structs.replace(told((halves[0], halves[1])), units=units, floors=floors)
    assert one.change(AHEAD.name) == (800.0, 0.0, "tokens")
    assert judge(one).missed == ["of it wasted +50.0 points, floor at most +40 points"]
    early = msgspec.structs.replace(half(1, 1), ahead=Ahead(tokens=7))
    assert policy_runs._faults(CASE, early, early) == ["off: 7 tokens computed ahead by a policy that is off"]


def test_the_record_holds_the_numbers_and_is_never_replaced(tmp_path: Path) -> None:
    one = told((half(10, 1.0), half(12, 1.5)))
    paths = [write("some_policy", {"seeds": [1]}, [CASE], [one], tmp_path) for _ in range(2)]
    assert paths[0] != paths[1]
    record = msgspec.json.decode(paths[0].read_bytes(), type=Record)
    assert record.kind == "policy_some_policy"
    assert read(paths[0]) == (record, [one])
    assert record.verdict["cases"]["some"]["missed"] == ["hit rate +2.0 points, floor at least +10 points"]
    assert record.verdict["passed"] is False
    assert record.settings["cases"]["some"]["kv_tokens"] == 1_000
    assert len((tmp_path / HISTORY).read_bytes().splitlines()) == 2
    assert paths[0].with_suffix(".png").is_file()


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "bench"}'])
def test_what_is_no_record_is_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"odd\.json: not a record of a policy's bench"):
        read(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "invalid choice"),
        (["safety", "--case", "no such"], "safety has no case 'no such'"),
        (["safety", "--repetitions", "0"], "--repetitions: 0 is not positive"),
        (["safety", "--tune", "x"], "--tune x: not NAME=VALUE"),
        (["safety", "--tune", "x=y"], "'y' is no number"),
    ],
)
def test_a_wrong_word_is_told(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert words in capsys.readouterr().err


def test_the_command_line_changes_the_cases() -> None:
    settings, cases, _ = parse(
        ["safety", "--seed", "7", "--repetitions", "2", "--requests", "5", "--beside", "lru", "--tune", "a=2"]
    )
    assert list(settings.seeds(cases[0])) == [7, 8]
    assert {(case.requests, case.beside, case.tunables["a"]) for case in cases} == {(5, ("lru",), 2.0)}


def test_without_an_engine_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise OSError("no engine here")

    monkeypatch.setattr(bench_policy.Bench, "_on_one_engine", away)
    assert main(["safety", "--out", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("policy", "case"), [(policy, case) for policy, cases in CASES.items() for case in cases])
def test_every_case_can_be_run(policy: str, case: PolicyCase) -> None:
    PolicyHost([*case.beside, *(case.together or (policy,))], {policy: case.tunables} if case.tunables else {})
    for name, rules in case.rules.items():
        made = create(name)
        assert isinstance(made, Ruled)
        made.obey(rules)
    assert {floor.measure for floor in case.floors} <= set(case.units)
    assert len(case.units) == len(case.measures) + len(case.counts)
    turns = case.turns(11, case.requests)
    assert turns == case.turns(11, case.requests)
    assert turns != case.turns(12, case.requests)
    assert 0 < len(turns) <= 2 * case.requests
