"""`radixdeck whatif` as a user types it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typed import radixdeck

from radixdeck.policies import events as ev
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder

START_NS = 1_700_000_000_000_000_000


def whatif(*words: str) -> subprocess.CompletedProcess[str]:
    return radixdeck(Path.cwd(), "whatif", *words, env=os.environ)


def request(number: int) -> list[ev.AnyEvent]:
    """Two agents in turn, each with a prompt of its own that it repeats."""
    agent, rid, t_ns = f"agent{number % 2}", f"r{number}", START_NS + number * 10**8
    hashes = np.arange(50, dtype="<u4") + 1000 * (number % 2)
    who = {"rid": rid, "agent": agent, "session": f"s{number % 2}"}
    return [
        ev.AgentSeen(t_ns=t_ns, agent=agent, label=f"the {agent}", fingerprint="f", declared=True),
        ev.PrefixMatched(t_ns=t_ns, prompt_tokens=50, cached_tokens=0, tail=hashes.tobytes(), **who),
        ev.PrefixInserted(t_ns=t_ns + 1, rid=rid, phase="finish", total_tokens=50, new_tokens=50),
    ]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run.sqlite"

    async def write() -> None:
        config = {"policy": {"tunables": {"kv_caching": {"half_life_s": 5.0}}}}
        recorder = Recorder(path, RunInfo("run", "box", START_NS, "0", "m", config))
        started = ev.EngineStarted(
            t_ns=START_NS, pid=1, model="m", capacity_tokens=60, page_size=1, policy="kv_caching"
        )
        for seq, event in enumerate([started, *(event for number in range(10) for event in request(number))], 1):
            recorder.record(seq, event)
        await recorder.close()

    asyncio.run(write())
    return path


def test_a_table_with_the_policies_and_the_best_possible(recording: Path) -> None:
    ran = whatif(str(recording))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("10 requests, 500 prompt tokens, a cache of 60 tokens")
    named = [line.split("  ")[0] for line in ran.stdout.splitlines()]
    assert {"as recorded", "lru", "kv_caching", "best possible", "the agent0", "the agent1"} <= set(named)


def test_a_tunable_that_is_no_more_is_left_out_and_said_to_be(recording: Path) -> None:
    remark = "kv_caching: without kv_caching.half_life_s = 5, which this version does not take"
    assert [line for line in whatif(str(recording)).stdout.splitlines() if "half_life_s" in line] == [remark]


def test_json_has_one_object_per_policy(recording: Path) -> None:
    ran = whatif(str(recording), "-p", "lru", "--kv-tokens", "200", "--json")
    (row,) = map(json.loads, ran.stdout.splitlines())
    assert (row["policy"], row["kv_tokens"], row["cached_tokens"]) == ("lru", 200, 8 * 49)
    assert row["cached_rate"] == row["bound_rate"] == pytest.approx(8 * 49 / 500)
    assert [agent["requests"] for agent in row["agents"]] == [5, 5]


def test_a_cache_that_prompts_do_not_fit_in_has_no_hit_rate(recording: Path) -> None:
    ran = whatif(str(recording), "-p", "lru", "--kv-tokens", "40")
    cells = {line[:18].strip(): line[18:].split() for line in ran.stdout.splitlines()}
    assert cells["lru"] == cells["best possible"] == ["-"]
    assert cells["the agent0"][-2:] == ["-", "-"]
    assert "lru: 10 prompts do not fit in it: the engine would refuse them" in ran.stdout
    (row,) = map(json.loads, whatif(str(recording), "-p", "lru", "--kv-tokens", "40", "--json").stdout.splitlines())
    assert (row["too_long"], row["cached_rate"], row["bound_rate"]) == (10, None, None)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["-p", "lru", "-p", "best"], "no policy named 'best'"),
        (["-p", "safety"], "safety decides at the door or beside it, not in the cache"),
        (["--kv-tokens", "-3"], "a cache of -3 tokens"),
    ],
)
def test_nonsense_is_refused_in_words(recording: Path, words: list[str], named: str) -> None:
    ran = whatif(str(recording), *words)
    assert ran.returncode == 2
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_file_that_is_no_recording_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for name in ("notes.txt", "none"):
        ran = whatif(str(tmp_path / name))
        assert ran.returncode == 2
        assert name in ran.stderr
        assert "Traceback" not in ran.stderr
