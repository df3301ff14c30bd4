"""Readers of real conversations: what they make of good files, and what they say of bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radixdeck.demos.logs import interleave, read_log, read_logs
from radixdeck.demos.mooncake import read_mooncake
from radixdeck.demos.workloads import Turn, WorkloadError

TRACES = Path(__file__).parents[3] / "shared" / "traces"
needs_traces = pytest.mark.skipif(not TRACES.is_dir(), reason=f"no traces beside the repository ({TRACES.name}/)")


def captain_log() -> dict[str, Any]:
    return {
        "question": "How many?",
        "system_prompt": {"Counter_Expert": "You count.", "Judge_Expert": "You judge."},
        "history": [
            {"content": "Plan: count them.", "role": "assistant", "name": "Counter_Expert"},
            {"content": "exitcode: 0", "role": "user", "name": "Computer_terminal"},
            {"content": "Twelve.", "role": "user", "name": "Judge_Expert"},
        ],
    }


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_each_step_of_an_agent_becomes_the_request_before_it(tmp_path: Path) -> None:
    turns = read_log(written(tmp_path, "1.json", captain_log()))
    assert [turn.agent for turn in turns] == ["Counter_Expert", "Computer_terminal", "Judge_Expert"]
    assert turns[0].messages == [
        {"role": "system", "content": "You count."},
        {"role": "user", "content": "human: How many?"},
    ]
    assert turns[2].messages[0] == {"role": "system", "content": "You judge."}
    assert [message["content"] for message in turns[2].messages[1:]] == [
        "human: How many?",
        "Counter_Expert: Plan: count them.",
        "Computer_terminal: exitcode: 0",
    ]


def test_an_agent_named_by_its_role_and_people_who_only_ask(tmp_path: Path) -> None:
    steps = [("human", "Find it."), ("Orchestrator (thought)", "Ask the surfer."), ("WebSurfer", "Here.")]
    log = {"question": "Find it.", "history": [{"role": role, "content": content} for role, content in steps]}
    turns = read_log(written(tmp_path, "1.json", log))
    assert [turn.agent for turn in turns] == ["Orchestrator", "WebSurfer"]
    assert turns[0].messages == [{"role": "user", "content": "human: Find it."}]


def test_an_agent_sees_its_own_steps_as_its_own(tmp_path: Path) -> None:
    log = captain_log()
    log["history"].append({"content": "Checked.", "role": "assistant", "name": "Counter_Expert"})
    last = read_log(written(tmp_path, "1.json", log))[-1]
    assert {"role": "assistant", "content": "Plan: count them."} in last.messages


def test_a_long_conversation_keeps_its_task_and_its_latest_steps(tmp_path: Path) -> None:
    log = captain_log()
    log["history"] = [{"content": f"{n} " + "x" * 900, "role": "user", "name": f"A{n % 3}"} for n in range(60)]
    turns = read_log(written(tmp_path, "1.json", log), context_chars=4_000)
    assert max(sum(len(m["content"]) for m in turn.messages) for turn in turns) <= 4_000
    assert turns[-1].messages[0]["content"] == "human: How many?"
    assert "58 xx" in turns[-1].messages[-1]["content"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not json", "malformed"),
        ("[1, 2]", "Expected `object`"),
        ("{}", "history"),
        ('{"history": []}', r"\$.history"),
        ('{"history": [{"role": "x"}]}', r"content` - at `\$.history\[0\]"),
        ('{"history": [{"role": "x", "content": 7}]}', r"\$.history\[0\].content"),
        ('{"history": [{"role": "x", "content": "y"}], "system_prompt": [1]}', r"\$.system_prompt"),
        ('{"history": [{"role": "human", "content": "y"}]}', "no step of an agent"),
    ],
)
def test_a_bad_file_is_named_with_its_field(tmp_path: Path, content: str, words: str) -> None:
    path = written(tmp_path, "bad.json", content)
    with pytest.raises(WorkloadError, match=words) as caught:
        read_log(path)
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(b'{"history": [{"role": "x", "content": "\xff\xfe"}]}')
    with pytest.raises(WorkloadError, match=r"bad\.json"):
        read_log(path)


def test_bad_files_of_a_folder_are_reported_and_the_others_read(tmp_path: Path) -> None:
    written(tmp_path, "good.json", captain_log())
    written(tmp_path, "bad.json", "{")
    complaints: list[str] = []
    assert len(read_logs(tmp_path, complaints.append)) == 3
    assert len(complaints) == 1
    assert "bad.json" in complaints[0]


def test_a_folder_with_nothing_to_read_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    written(tmp_path, "bad.json", "{")
    with pytest.raises(WorkloadError, match="no conversation could be read"):
        read_logs(tmp_path, lambda _: None)
    with pytest.raises(WorkloadError, match="no such file"):
        read_logs(tmp_path / "missing", lambda _: None)


def test_conversations_are_interleaved_and_none_is_lost() -> None:
    talks = [[Turn(session=str(t), agent="a", messages=[{"n": n}]) for n in range(t + 1)] for t in range(5)]
    turns = list(interleave(talks, live=2))
    assert len(turns) == 15
    for talk in talks:
        assert [turn for turn in turns if turn.session == talk[0].session] == talk


@needs_traces
def test_all_real_conversations_can_be_read() -> None:
    complaints: list[str] = []
    turns = read_logs(TRACES / "who_and_when", complaints.append)
    assert not complaints
    assert len(turns) > 800
    assert {"Orchestrator", "WebSurfer"} <= {turn.agent for turn in turns}


def asked(*hash_ids: object) -> str:
    return json.dumps({"timestamp": 0, "input_length": 900, "output_length": 5, "hash_ids": hash_ids})


def test_a_mooncake_trace_keeps_what_prompts_share(tmp_path: Path) -> None:
    lines = [
        {"timestamp": 0, "input_length": 900, "output_length": 5, "hash_ids": ids} for ids in ([1, 2, 3], [1, 2, 9])
    ]
    path = written(tmp_path, "t.jsonl", "\n".join(map(json.dumps, lines)))
    first, second = (turn.messages[0]["content"].split("\n") for turn in read_mooncake(path, requests=10))
    assert first[:2] == second[:2]
    assert first[2] != second[2]


@pytest.mark.parametrize("line", ["{", "[]", '{"timestamp": 1}', asked("a"), asked(1)[:-1]])
def test_a_bad_line_of_a_mooncake_trace_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(WorkloadError, match=r"t\.jsonl: line 2: "):
        read_mooncake(written(tmp_path, "t.jsonl", f"{asked(1)}\n{line}"), requests=10)


def test_an_empty_or_missing_mooncake_trace_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="empty"):
        read_mooncake(written(tmp_path, "t.jsonl", ""), requests=10)
    with pytest.raises(WorkloadError, match="cannot be read"):
        read_mooncake(tmp_path / "missing", requests=10)


@needs_traces
def test_the_real_mooncake_trace_can_be_read() -> None:
    assert len(read_mooncake(TRACES / "mooncake" / "synthetic_trace.jsonl", requests=100)) == 100
