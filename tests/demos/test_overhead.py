"""What the daemon costs: how two engines are held against each other, and what a record of it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from radixdeck.demos.apart import Drive
from radixdeck.demos.bench_overhead import Settings, main, write
from radixdeck.demos.drive import Outcome
from radixdeck.demos.overhead import floors, summarise, text
from radixdeck.demos.probe import Probe
from radixdeck.demos.rounds import LEGS, Pair, Rounds, pair_of, unshared
from radixdeck.demos.workloads import WorkloadSpec, generate


def probe(added_s: float, rate: float) -> Probe:
    direct = [0.010, 0.020, 0.030]
    front = [value + added_s for value in direct]
    return Probe(
        concurrency=8, whole_direct_s=direct, whole_front_s=front, first_direct_s=direct, first_front_s=front,
        rates_direct=[10.0, 10.0], rates_front=[rate, rate],
    )  # fmt: skip


def drive_of(latency_s: Sequence[float], **changes: object) -> Drive:
    told = {"agent": "a", "session": "s", "prompt_tokens": 100, "cached_tokens": 50} | changes
    outcomes = [
        msgspec.convert({"index": n, "latency_s": x, "ttft_s": x / 2} | told, Outcome) for n, x in enumerate(latency_s)
    ]
    return Drive(outcomes, wall_s=sum(latency_s))


def rounds(*added_s: float, evictions: int = 0, **changes: object) -> Rounds:
    """In each leg a pair per value, in which the daemon adds so much to each request of 0.1 s on average."""
    theirs = [0.05, 0.1, 0.15]

    def pair(added: float) -> Pair:
        return pair_of(drive_of(theirs), drive_of([value + added for value in theirs], **changes))

    return Rounds(concurrency=8, evictions=evictions, legs={leg: [pair(added) for added in added_s] for leg in LEGS})


def test_the_daemon_is_compared_request_by_request_and_round_by_round() -> None:
    seen = rounds(0.001, 0.002, 0.004)
    assert seen.added_ms == pytest.approx([1.0, 2.0, 4.0])
    assert seen.loss_percent("fresh") == pytest.approx([100 * x / (0.1 + x) for x in (0.001, 0.002, 0.004)])
    assert seen.faults() == []


def test_fresh_turns_have_nothing_in_common() -> None:
    turns = generate(WorkloadSpec(requests=12))
    fresh = unshared(turns, "Copy 1")
    assert len({turn.messages[0]["content"] for turn in fresh}) == len({turn.session for turn in fresh}) == 12
    assert [turn.messages[1:] for turn in fresh] == [turn.messages for turn in turns]
    assert not any(turn.tools for turn in fresh), "schemas are rendered before anything that tells prompts apart"


def test_requests_that_failed_on_a_side_are_no_difference() -> None:
    ours = drive_of([0.2, 0.3])
    broken = msgspec.structs.replace(ours.outcomes[0], error="HTTP 503", latency_s=9.0)
    assert pair_of(drive_of([0.1, 0.2]), Drive([broken, ours.outcomes[1]], 0.5)).added_s == pytest.approx([0.1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evictions": 3}, "3 evictions"),
        ({"cached_tokens": 60}, "hit rates differ: 0.500 and 0.600"),
        ({"prompt_tokens": 101}, "prompts differ: 300 and 303"),
        ({"error": "HTTP 503"}, "radixdeck: 3 failed"),
        ({"attempts": 2}, "radixdeck: 0 failed, 3 needed another try"),
    ],
)
def test_a_daemon_that_was_not_asked_or_did_not_do_the_same_never_passes(changes: dict[str, Any], words: str) -> None:
    seen = summarise(rounds(0.001, **changes), probe(0.003, 9.7), probe(0.002, 9.8), 1.5, [0.010] * 100)
    assert any(words in fault for fault in seen.whole.faults())
    assert not seen.passed
    assert words in text(seen)


def test_overhead_is_judged_measure_by_measure() -> None:
    good = summarise(rounds(0.001, 0.002, 0.003), probe(0.003, 9.7), probe(0.002, 9.8), 1.5, [0.010] * 100)
    first = floors(good)[0]
    assert first.value == pytest.approx(3.0), "short prompts are judged: there an engine's own time hides little"
    assert first.spread == "3.00 to 3.00"
    assert good.front_added_ms == pytest.approx(2.0)
    assert good.front_throughput_loss_percent == pytest.approx(2.0)
    assert good.passed
    bad = summarise(rounds(0.011), probe(0.007, 9.0), probe(0.006, 9.0), 7.0, [0.010] * 90 + [0.4] * 10)
    assert [floor.kept for floor in floors(bad)] == [False] * 9
    assert not bad.passed


def test_an_overhead_record_keeps_every_round_and_says_which_floors_are_kept(tmp_path: Path) -> None:
    seen = summarise(rounds(0.001, 0.011, 0.012), probe(0.007, 9.7), probe(0.002, 9.8), 1.5, [0.010] * 100)
    path = write(Settings(home=str(tmp_path)), seen, tmp_path / "out")
    told = json.loads(path.read_bytes())
    assert [len(pair["added_s"]) for pair in told["results"]["whole"]["legs"]["alone"]] == [3, 3, 3]
    assert told["verdict"]["daemon: added latency, median ms"]["kept"] is False
    assert told["verdict"]["front alone: added latency, median ms"]["kept"] is True
    assert told["verdict"]["passed"] is False
    assert str(tmp_path) not in path.read_text()
    assert path.with_suffix(".png").is_file()


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_an_overhead_of_nothing_is_refused_by_name(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--rounds", value, "--out", str(tmp_path / "out")])
    assert "--rounds" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
