"""The demo as a user starts it: on the real engine, to its end, and stopped on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from radixdeck.demos.__main__ import main, parse
from radixdeck.demos.apart import Drive
from radixdeck.demos.drive import Outcome
from radixdeck.demos.hints import radixdeck
from radixdeck.demos.measure import Bound, summarise
from radixdeck.demos.sources import describe, load
from radixdeck.demos.story import Options, Phase, comparison
from radixdeck.demos.workloads import WorkloadSpec, generate

COMMAND = (sys.executable, "-m", "radixdeck.demos", "--no-console")


def test_options_are_the_defaults_unless_typed() -> None:
    assert parse([]) == Options()
    assert parse(["--quick"]).requests == 60
    told = parse(["--seed", "7", "--kv-tokens", "5000", "--sessions", "2", "--policy", "lru", "--logs", "x"])
    assert (told.seed, told.kv_tokens, told.sessions, told.policy, told.logs) == (7, 5000, 2, "lru", Path("x"))


def test_logs_take_the_place_of_the_generated_workload(tmp_path: Path) -> None:
    spec = WorkloadSpec(requests=5)
    assert load(spec, None, print) == generate(spec)
    assert describe(spec, None)["topology"] == spec.topology
    log = {"history": [{"role": "human", "content": "Why?"}, {"role": "Solver", "content": "Because."}]}
    (tmp_path / "1.json").write_text(json.dumps(log))
    (turn,) = load(spec, tmp_path, print)
    assert turn.agent == "Solver"
    asked = {"timestamp": 0, "input_length": 9, "output_length": 5, "hash_ids": [1]}
    (tmp_path / "2.jsonl").write_text("\n".join([json.dumps(asked)] * 9))
    assert len(load(spec, tmp_path / "2.jsonl", print)) == 5
    assert str(tmp_path) not in str(describe(spec, tmp_path / "2.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--logs", "missing"], "missing: no such file"), (["--requests", "0"], "requests: 0 is not positive")],
)
def test_what_cannot_be_driven_is_said_before_anything_starts(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def phase(policy: str, cached_tokens: int, hurt: int) -> Phase:
    outcome = Outcome(index=0, agent="a", session="s", prompt_tokens=1_000, cached_tokens=cached_tokens, ttft_s=0.25)
    drive = Drive([outcome], wall_s=0.5)
    return Phase(
        policy=policy, drive=drive, summary=summarise(drive), bound=Bound(0.61, 1), evictions=12, hurt=hurt,
        hurt_tokens=345, warmups=0,
    )  # fmt: skip


def test_the_table_holds_both_policies_and_the_bound() -> None:
    lines = comparison([phase("lru", 225, 7), phase("kv_caching", 471, 3)]).split("\n")
    assert lines[1].split() == ["lru", "kv_caching", "Belady's", "bound"]
    rate = next(line for line in lines if line.startswith("hit rate"))
    assert rate.split()[-3:] == ["22.5", "47.1", "61.0"]
    hurt = next(line for line in lines if line.startswith("evictions that hurt"))
    assert hurt.split()[-2:] == ["7", "3"]


def interpreter_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *, script: bool) -> Path:
    """A folder of programs with an interpreter, which is the running one for the length of the test."""
    folder.mkdir(parents=True)
    if script:
        (folder / "radixdeck").touch()
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder


def test_hints_name_the_script_beside_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    interpreter_in(Path.cwd() / "a b" / "bin", monkeypatch, script=True)
    assert radixdeck("console", "--node", "demo") == "'a b/bin/radixdeck' console --node demo"
    assert radixdeck("console", home="/x y") == "'a b/bin/radixdeck' console --home '/x y'"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert radixdeck("replay", "r.db") == f"'{tmp_path}/a b/bin/radixdeck' replay r.db"


def test_hints_do_without_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    interpreter_in(Path.cwd() / "bin", monkeypatch, script=False)
    assert radixdeck("replay", "r.db") == "bin/python -m radixdeck.console.cli replay r.db"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Demos started by a test; whatever of them is left at its end is killed."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for demo in running:
        for process in family(demo.pid):
            process.kill()


def family(pid: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.engine
def test_the_demo_runs_to_its_end(tmp_path: Path) -> None:
    arguments = ("--requests", "6", "--home", str(tmp_path / "home"), "--out", str(tmp_path / "out"))
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "hit rate, %" in done.stdout
    replay = next(line for line in done.stderr.splitlines() if line.startswith("replay")).split()[1:]
    assert Path(replay[-1]).is_file()
    assert subprocess.run([*replay[:-1], "--help"], capture_output=True, check=False).returncode == 0
    assert f"--node demo --home {tmp_path / 'home'}" in done.stderr
    (path,) = (tmp_path / "out").glob("*.json")
    results = json.loads(path.read_bytes())["results"]
    assert {name: told["summary"]["failed"] for name, told in results.items()} == {"lru": 0, "kv_caching": 0}
    assert results["lru"]["summary"]["prompt_tokens"] == results["kv_caching"]["summary"]["prompt_tokens"] > 0
    for told in results.values():
        assert told["bound"]["requests"] == 6
        assert told["summary"]["hit_rate"] <= told["bound"]["hit_rate"] or told["warmups"]
    assert path.with_suffix(".png").is_file()


@pytest.mark.engine
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_no_process_behind(
    tmp_path: Path, started: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    command = [*COMMAND, "--home", str(tmp_path / "home")]
    demo = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    started.append(demo)
    assert demo.stderr is not None
    for line in demo.stderr:
        if "engine: importing" in line:
            break
    left = family(demo.pid)
    assert len(left) > 1
    demo.send_signal(number)
    assert demo.wait(60) == 130
    assert "stopped" in demo.stderr.read()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive
