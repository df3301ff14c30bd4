"""`radixdeck recordings`, and the names of recordings that other commands take, as a user types them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typed import cold, completed, radixdeck

from radixdeck.policies import events as ev
from radixdeck.storage.errors import StorageError
from radixdeck.storage.files import RunInfo
from radixdeck.storage.naming import find_recording
from radixdeck.storage.recorder import Recorder

START_NS = 1_700_000_000_000_000_000
OLDER, NEWER = "20231114T221320.000Z-box", "20231114T221321.000Z-box"


def record(path: Path, agent: str) -> None:
    """A run of one request by `agent`."""

    async def write() -> None:
        recorder = Recorder(path, RunInfo("run", "box", START_NS, "0", "m", {}))
        who = {"rid": "r", "agent": agent, "session": "s"}
        events = [
            ev.EngineStarted(t_ns=START_NS, pid=1, model="m", capacity_tokens=60, page_size=1, policy="lru"),
            ev.AgentSeen(t_ns=START_NS, agent=agent, label=agent, fingerprint="f", declared=True),
            ev.PrefixMatched(t_ns=START_NS, prompt_tokens=2, cached_tokens=0, tail=b"\1\0\0\0\2\0\0\0", **who),
            ev.PrefixInserted(t_ns=START_NS, rid="r", phase="finish", total_tokens=2, new_tokens=2),
        ]
        for seq, event in enumerate(events, 1):
            recorder.record(seq, event)
        await recorder.close()

    path.parent.mkdir(exist_ok=True)
    asyncio.run(write())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With two recordings, and a newer file that is none."""
    record(tmp_path / "runs" / f"{OLDER}.db", "ann")
    record(tmp_path / "runs" / f"{NEWER}.db", "bob")
    (tmp_path / "runs" / "20240101-bad.db").write_bytes(b"hello")
    return tmp_path


def agent_of(home: Path, *words: str) -> str:
    """Whose requests `whatif` finds in the recording that is named so."""
    ran = radixdeck(home, "whatif", *words, "-p", "lru", "--json")
    assert ran.returncode == 0, ran.stderr
    (agent,) = json.loads(ran.stdout)["agents"]
    return agent["agent"]


def test_the_list_has_names_that_other_commands_take(home: Path) -> None:
    said = cold(home, "recordings").stdout.splitlines()
    names = [line.split()[-1] for line in said[2:4]]
    assert names == [NEWER, OLDER]
    assert f"in {home / 'runs'}" in said[-1]
    assert [agent_of(home, name) for name in names] == ["bob", "ann"]
    assert agent_of(home, f"{OLDER}.db") == "ann"


def test_a_file_of_that_name_is_meant_before_a_recording_of_the_list(home: Path) -> None:
    record(home / OLDER, "cat")
    assert agent_of(home, OLDER) == "cat"


def test_latest_is_the_newest_that_can_be_read(home: Path) -> None:
    assert agent_of(home, "latest") == "bob"


def test_a_home_may_be_named(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert agent_of(elsewhere, "latest", "--home", str(home)) == "bob"
    ran = radixdeck(elsewhere, "replay", "latest")
    assert (ran.returncode, f"no recording that can be read in {elsewhere / 'runs'}" in ran.stderr) == (2, True)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("command", ["replay", "whatif", "web"])
def test_a_name_that_nothing_has_is_answered_with_where_it_was_looked_for(home: Path, command: str) -> None:
    ran = radixdeck(home, command, OLDER.replace("221320", "221329"))
    assert ran.returncode == 2
    assert f"no recording of that name in {home / 'runs'}; did you mean 2023" in ran.stderr
    assert "no such file" in radixdeck(home, command, "a/b.db").stderr


@pytest.mark.parametrize("command", ["recordings", "sessions"])
def test_a_folder_that_is_none_is_said(tmp_path: Path, command: str) -> None:
    (tmp_path / "text.db").touch()
    (tmp_path / "rec").mkdir()
    for name, words in {"nothere": "no such folder", "text.db": "not a folder"}.items():
        ran = radixdeck(tmp_path, command, name)
        assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"radixdeck: {name}: {words}\n")
    ran = radixdeck(tmp_path, command, "rec")
    assert (ran.returncode, ran.stdout) == (0, "rec: no *.db here\n")
    assert f"no recordings yet in {tmp_path / 'runs'}" in radixdeck(tmp_path, command).stdout


@pytest.mark.parametrize("command", ["replay", "whatif", "web", "recordings"])
def test_a_name_longer_than_any_file_may_have_is_said(tmp_path: Path, command: str) -> None:
    name = "x" * 300
    ran = cold(tmp_path, command, name)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"radixdeck: {name}: File name too long\n")


def test_a_file_that_may_not_be_looked_at_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(StorageError, match=r"^/private/run\.db: Permission denied$"):
        find_recording("/private/run.db", home / "runs")


def test_what_cannot_be_read_is_listed_with_its_path_once(home: Path) -> None:
    named, by_path = (radixdeck(home, "recordings", *words).stdout for words in ((), ("runs",)))
    assert "  20240101-bad: not a SQLite file\n" in named
    assert "  runs/20240101-bad.db: not a SQLite file\n" in by_path
    rows = [json.loads(row) for row in radixdeck(home, "recordings", "--json").stdout.splitlines()]
    assert [bool(row["error"]) for row in rows] == [True, False, False]
    assert rows[1]["path"] == str(home / "runs" / f"{NEWER}.db")


def test_names_are_completed_with_tab(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert completed(home, "radixdeck replay ") == ["latest", "20240101-bad", NEWER, OLDER]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert completed(elsewhere, f"radixdeck whatif --home {home} l") == ["latest"]
    assert completed(elsewhere, f"radixdeck whatif --home {home} {OLDER[:-6]}") == [OLDER]
