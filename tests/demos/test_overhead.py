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
from radixdeck.demos.measure import Summary, summarise
from radixdeck.demos.overhead import Overhead, floors, text
from radixdeck.demos.probe import Probe
from radixdeck.demos.rounds import LEGS, Against, Boot, Pair, unshared
from radixdeck.demos.workloads import WorkloadSpec, generate


def probe(added_s: float, rate: float) -> Probe:
    direct = [0.010, 0.020, 0.030]
    front = [value + added_s for value in direct]
    return Probe(
        concurrency=8, whole_direct_s=direct, whole_front_s=front, first_direct_s=direct, first_front_s=front,
        rates_direct=[10.0, 10.0], rates_front=[rate, rate],
    )  # fmt: skip


def drive_of(latency_s: Sequence[float], **changes: object) -> Summary:
    told = {"agent": "a", "session": "s", "prompt_tokens": 100, "cached_tokens": 50} | changes
    outcomes = [
        msgspec.convert({"index": n, "latency_s": x, "ttft_s": x / 2} | told, Outcome) for n, x in enumerate(latency_s)
    ]
    return summarise(Drive(outcomes, wall_s=sum(latency_s)))


def against(short: Probe, *added_s: float, **changes: object) -> Against:
    """In each leg a pair of blocks per value, in which so much is added to each request of 0.1 s on average."""
    theirs = [0.05, 0.1, 0.15]

    def pair(added: float) -> Pair:
        return Pair(sglang=drive_of(theirs), other=drive_of([value + added for value in theirs], **changes))

    return Against(short=short, legs={leg: [pair(added) for added in added_s] for leg in LEGS})


def boot(short: Probe, *added_s: float, evictions: int = 0, **changes: object) -> Boot:
    return Boot(evictions=evictions, daemon=against(short, *added_s, **changes), twin=against(probe(0.0, 10.0), 0.0))


def overhead(*boots: Boot, front: Probe | None = None, idle_percent: float = 1.5, slow_orders: int = 0) -> Overhead:
    return Overhead(
        concurrency=8, boots=list(boots), front=front or probe(0.002, 9.8), idle_percent=idle_percent,
        command_s=[0.010] * (100 - slow_orders) + [0.4] * slow_orders,
    )  # fmt: skip


def test_fresh_turns_have_nothing_in_common() -> None:
    turns = generate(WorkloadSpec(requests=12))
    fresh = unshared(turns, "Copy 1")
    assert len({turn.messages[0]["content"] for turn in fresh}) == len({turn.session for turn in fresh}) == 12
    assert [turn.messages[1:] for turn in fresh] == [turn.messages for turn in turns]
    assert not any(turn.tools for turn in fresh), "schemas are rendered before anything that tells prompts apart"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evictions": 3}, "3 evictions"),
        ({"cached_tokens": 60}, "hit rates differ: 0.500 and 0.600"),
        ({"prompt_tokens": 101}, "prompts differ: 300 and 303"),
        ({"error": "HTTP 503"}, "the other side: 3 failed"),
        ({"attempts": 2}, "the other side: 0 failed, 3 needed another try"),
    ],
)
def test_a_daemon_that_was_not_asked_or_did_not_do_the_same_never_passes(changes: dict[str, Any], words: str) -> None:
    seen = overhead(boot(probe(0.003, 9.7), 0.001), boot(probe(0.003, 9.7), 0.001, **changes))
    assert any(words in fault and fault.startswith("boot 2") for fault in seen.faults())
    assert not seen.passed
    assert words in text(seen)


def test_overhead_is_judged_measure_by_measure() -> None:
    good = overhead(boot(probe(0.003, 9.7), 0.001, 0.002, 0.003), boot(probe(0.004, 9.7), 0.001, 0.002, 0.003))
    told = {floor.name: floor for floor in floors(good)}
    added = told["daemon: added latency, median ms"]
    assert added.value == pytest.approx(3.5), "over all sets of engines, pair by pair"
    assert added.spread == "3.00 to 4.00"
    assert told["daemon: throughput lost at 8 in flight, %"].value == pytest.approx(100 * 0.002 / 0.102)
    assert told["front alone: added latency, median ms"].value == pytest.approx(2.0)
    assert told["front alone: throughput lost, short prompts, %"].value == pytest.approx(2.0)
    assert good.passed
    bad = overhead(boot(probe(0.007, 9.0), 0.011), front=probe(0.006, 9.0), idle_percent=7.0, slow_orders=10)
    assert [floor.kept for floor in floors(bad)] == [False] * 9
    assert not bad.passed


def test_every_set_of_engines_is_told_beside_what_two_engines_differ_by() -> None:
    words = text(overhead(boot(probe(0.003, 9.7), 0.001), boot(probe(0.004, 9.7), 0.001)))
    assert "the daemon, boot by boot: latency, ms +3.0 +4.0" in words
    assert "another engine of SGLang's, boot by boot: latency, ms +0.0 +0.0" in words


def test_an_overhead_record_keeps_every_pair_and_says_which_floors_are_kept(tmp_path: Path) -> None:
    path = write(Settings(home=str(tmp_path)), overhead(boot(probe(0.007, 9.7), 0.001, 0.011)), tmp_path / "out")
    told = json.loads(path.read_bytes())
    assert len(told["results"]["boots"][0]["daemon"]["legs"]["fresh"]) == 2
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
        main(["--boots", value, "--out", str(tmp_path / "out")])
    assert "--boots" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
