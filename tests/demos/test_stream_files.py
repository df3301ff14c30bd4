"""Real traffic as modelled streams: what is shared in the files is shared in the stream; bad files are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radixdeck.demos.families import LOGS, PLAIN, families, variants
from radixdeck.demos.stream_files import SHRUNK_TOKENS, UNKNOWN, logs_stream, mooncake_stream
from radixdeck.demos.workloads import WorkloadError
from radixdeck.policies.events import AnswerGiven, PrefixMatched
from radixdeck.storage.atoms import common, length
from radixdeck.storage.evaluate import evaluate
from radixdeck.storage.streams import Stream

TRACES = Path(__file__).parents[3] / "shared" / "traces"
ASKED: list[dict[str, Any]] = [
    {"timestamp": 0, "input_length": 1500, "output_length": 100, "hash_ids": [1, 2, 3]},
    {"timestamp": 500, "input_length": 900, "output_length": 10, "hash_ids": [1, 4]},
    {"timestamp": 9000, "input_length": 2500, "output_length": 64, "hash_ids": [1, 2, 5, 6, 7]},
    {"timestamp": 9000, "input_length": 600, "output_length": 0, "hash_ids": [8, 9]},
]


def trace(folder: Path, *lines: str) -> Path:
    path = folder / "mooncake" / "synthetic_trace.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def log(folder: Path, name: str, *steps: tuple[str, str]) -> Path:
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    history = [{"content": content, "role": "assistant", "name": speaker} for speaker, content in steps]
    told = {"history": history, "question": "q", "system_prompt": {"Coder": "You code." * 20, "Critic": "You judge."}}
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def matched(stream: Stream) -> list[PrefixMatched]:
    return [event for event, _ in stream.moments if isinstance(event, PrefixMatched)]


def test_mooncake_prompts_share_the_blocks_they_share_in_the_trace(tmp_path: Path) -> None:
    stream = mooncake_stream(trace(tmp_path, *map(json.dumps, ASKED)))
    lengths = [length(content.prompt) for content in stream.contents]
    assert lengths == [SHRUNK_TOKENS * len(one["hash_ids"]) for one in ASKED]
    assert [length(content.output) for content in stream.contents] == [4, 1, 2, 1]
    first, other, longer, _ = (content.prompt for content in stream.contents)
    assert (common(first, other), common(first, longer)) == (1, 2)
    assert evaluate(stream, "lru", 10_000).cached_tokens == (1 + 2) * SHRUNK_TOKENS


def test_mooncake_conversations_are_told_apart_as_the_daemon_would(tmp_path: Path) -> None:
    path = trace(tmp_path, *map(json.dumps, ASKED))
    told = [(event.agent, event.session) for event in matched(mooncake_stream(path))]
    assert told == [(UNKNOWN, "c0"), (UNKNOWN, "c1"), (UNKNOWN, "c0"), (UNKNOWN, "c3")]
    assert {event.agent + event.session for event in matched(mooncake_stream(path, names=False))} == {""}
    assert len(matched(mooncake_stream(path, requests=2))) == 2


@pytest.mark.parametrize(
    "line",
    [
        "{", '{"timestamp": 1}', '{"timestamp": "soon", "input_length": 1, "output_length": 1, "hash_ids": [1]}',
        '{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": []}',
        '{"timestamp": -1, "input_length": 1, "output_length": 1, "hash_ids": [1]}', "\udcff",
    ],
)  # fmt: skip
def test_a_bad_line_is_named(line: str, tmp_path: Path) -> None:
    path = trace(tmp_path, json.dumps(ASKED[0]))
    path.write_bytes(path.read_bytes() + b"\n" + line.encode("utf-8", "surrogateescape"))
    with pytest.raises(WorkloadError, match=r"synthetic_trace\.jsonl: line 2: "):
        mooncake_stream(path)


def test_files_that_are_not_there_or_empty_are_named(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"none\.jsonl: cannot be read"):
        mooncake_stream(tmp_path / "none.jsonl")
    with pytest.raises(WorkloadError, match="no requests"):
        mooncake_stream(trace(tmp_path, ""))
    with pytest.raises(WorkloadError, match=r"no \*\.json in it"):
        logs_stream(tmp_path / "nowhere", 1)
    log(tmp_path / "logs", "bad").write_text("{", encoding="utf-8")
    with pytest.raises(WorkloadError, match=r"bad\.json"):
        logs_stream(tmp_path / "logs", 1)


def test_a_log_becomes_the_requests_that_could_have_made_it(tmp_path: Path) -> None:
    said = ("human", "do it"), ("Coder", "x = 1"), ("Computer_terminal", "ok"), ("Critic", "good"), ("Coder", "done")
    log(tmp_path, "one", *said)
    stream = logs_stream(tmp_path, 1)
    assert [content.agent for content in stream.contents] == ["Coder", "Critic", "Coder"]
    first, critic, second = stream.contents
    assert second.prompt[: len(first.prompt)] == first.prompt
    assert second.prompt[len(first.prompt)] == first.output[0]
    assert common(first.prompt, critic.prompt) == 1
    assert [length(content.anchor) for content in (first, second)] == [40 + 4 + 49] * 2
    assert evaluate(stream, "lru", 10_000).cached_tokens == 40 + length(first.prompt + first.output)


def test_an_answer_of_a_log_closes_its_session_if_it_ends_in_the_word_for_it(tmp_path: Path) -> None:
    log(
        tmp_path,
        "one",
        ("human", "do it"),
        ("Coder", "x = 1"),
        ("Critic", "Good.\n\nTERMINATE"),
        ("Coder", "TERMINATED"),
    )
    answers = [event for event, _ in logs_stream(tmp_path, 1).moments if isinstance(event, AnswerGiven)]
    assert [(event.agent, event.closes) for event in answers] == [("Coder", False), ("Critic", True), ("Coder", False)]


def test_the_seed_shuffles_and_times_logs(tmp_path: Path) -> None:
    for name in "abcdef":
        log(tmp_path, name, ("human", name), ("Coder", f"{name} 1"), ("Critic", f"{name} 2"), ("Coder", f"{name} 3"))
    one, again, other = logs_stream(tmp_path, 1), logs_stream(tmp_path, 1), logs_stream(tmp_path, 2)
    assert one.moments == again.moments
    assert [event.session for event in matched(one)] != [event.session for event in matched(other)]
    assert len(one.requests) == len(other.requests) == 18


def test_families_hold_what_files_there_are(tmp_path: Path) -> None:
    assert LOGS not in families(tmp_path)
    assert len(families(tmp_path)[PLAIN]) == 2
    trace(tmp_path, *map(json.dumps, ASKED))
    log(tmp_path / "who_and_when" / "hand_crafted", "one", ("human", "do"), ("Coder", "did"), ("Critic", "saw"))
    assert [variant.name for variant in variants(PLAIN, tmp_path)][2:] == ["Mooncake", "Mooncake, no names"]
    assert [variant.name for variant in variants(LOGS, tmp_path)] == ["hand crafted", "who and when"]
    for family in (PLAIN, LOGS):
        for variant in variants(family, tmp_path):
            assert variant.stream(3, requests=4).requests


@pytest.mark.skipif(not TRACES.is_dir(), reason="the real traces are not beside the checkout")
def test_real_traffic_can_be_read() -> None:
    for family, least in ((PLAIN, 1_000), (LOGS, 150)):
        for variant in variants(family, TRACES):
            stream = variant.stream(11, requests=1_000)
            assert len(stream.requests) >= least
            assert stream.reference(stream.working_set_tokens).room_tokens > 0
