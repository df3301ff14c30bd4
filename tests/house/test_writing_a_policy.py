"""docs/writing-a-policy.md does what it says: its package is written out, found, tested and tried."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from radixdeck.policies import events as ev
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder

DOC = Path(__file__).parents[2] / "docs" / "writing-a-policy.md"
FILES = dict(re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", DOC.read_text(encoding="utf-8"), re.M | re.S))
START_NS = 1_700_000_000_000_000_000

AT_THE_DOOR = """
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Asked, Entered, Left
host = DoorHost(["doorman"], {"doorman": {"others": 1}})
def asked(number, agent): return Asked(rid=f"r{number}", agent=agent)
for number in range(2):
    host.notice(Entered(t_s=0.0, asked=asked(number, "planner")))
ruling = host.judge(asked(9, "batch-x"), 1.0)
print(ruling.by, ruling.verdict.kind, ruling.verdict.why, host.longest_hold_s("doorman"))
print(host.judge(asked(9, "planner"), 1.0).verdict.kind)
host.notice(Left(t_s=2.0, asked=asked(0, "planner"), entered=True))
print(host.judge(asked(9, "batch-x"), 2.0).verdict.kind)
"""


IN_SHADOW = """
import sys
from pathlib import Path
from radixdeck.console.shadow_run import Choice, Shadow
from radixdeck.policies.events import TunableChanged
from radixdeck.policies.host import PolicyHost
host = PolicyHost(["lru"])
host.check_tune("most_asked", "memory", 100.0)
host.observe(TunableChanged(t_ns=1, policy="most_asked", name="memory", value=100.0))
(facts,) = [facts for facts in host.info() if facts.name == "most_asked"]
print(facts.slot, facts.enabled, facts.values)
shadow = Shadow(Path(sys.argv[1]), Choice("lru", "most_asked"))
while shadow.step():
    pass
print(*(side.cached_tokens for side in shadow.view.sides), shadow.trouble)
shadow.close()
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the document as an installer would leave it."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    told = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (told / "entry_points.txt").write_text("\n".join(groups))
    return folder


def run(package: Path, *words: str) -> str:
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    ran = subprocess.run(
        [sys.executable, *words], cwd=package, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def request(number: int, agent: int) -> list[ev.AnyEvent]:
    """Each agent asks the same 50 tokens again and again."""
    rid, t_ns = f"r{number}", START_NS + number * 10**8
    hashes = np.arange(50, dtype="<u4") + 1000 * agent
    who = {"rid": rid, "agent": f"agent{agent}", "session": f"s{agent}"}
    return [
        ev.PrefixMatched(t_ns=t_ns, prompt_tokens=50, cached_tokens=0, tail=hashes.tobytes(), **who),
        ev.PrefixInserted(t_ns=t_ns + 1, rid=rid, phase="finish", total_tokens=50, new_tokens=50),
    ]


@pytest.fixture(scope="module")
def recording(package: Path) -> Path:
    """Agent 0 asks every third time, and 120 tokens hold two of five agents: LRU forgets it before it is back."""
    path = package / "run.sqlite"

    async def write() -> None:
        recorder = Recorder(path, RunInfo("run", "box", START_NS, "0", "m", {}))
        begun = ev.EngineStarted(t_ns=START_NS, pid=1, model="m", capacity_tokens=120, page_size=1, policy="lru")
        asked = [event for number in range(30) for event in request(number, number % 3 and 1 + number % 4)]
        for seq, event in enumerate([begun, *asked], 1):
            recorder.record(seq, event)
        await recorder.close()

    asyncio.run(write())
    return path


def test_the_package_is_about_thirty_lines() -> None:
    assert FILES.keys() == {"most_asked.py", "pyproject.toml", "test_most_asked.py", "doorman.py"}
    for name in ("most_asked.py", "doorman.py"):
        assert len([line for line in FILES[name].splitlines() if line.strip()]) <= 30


def test_its_own_test_passes(package: Path) -> None:
    assert "1 passed" in run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_most_asked.py")


def test_what_if_finds_it_and_it_serves_more_than_lru(package: Path, recording: Path) -> None:
    words = ["whatif", str(recording), "--policy", "lru", "--policy", "most_asked", "--json"]
    assert "--policy lru --policy most_asked" in DOC.read_text(encoding="utf-8")
    said = run(package, "-m", "radixdeck.console.cli", *words)
    lru, most_asked = (json.loads(line)["cached_tokens"] for line in said.splitlines())
    assert most_asked > lru + 9 * 40


def test_it_is_listed_once_it_is_named_and_can_be_watched_in_shadow(package: Path, recording: Path) -> None:
    assert "act tune policy=most_asked name=memory value=100" in DOC.read_text(encoding="utf-8")
    listed, cached = run(package, "-c", IN_SHADOW, str(recording)).splitlines()
    assert listed == "eviction False {'memory': 100.0}"
    lru, most_asked = map(int, cached.split())
    assert most_asked > lru


def test_the_doorman_holds_and_lets_go(package: Path) -> None:
    assert run(package, "-c", AT_THE_DOOR).splitlines() == [
        "doorman hold 2 requests of other agents are in flight 60.0", "pass", "pass",
    ]  # fmt: skip
