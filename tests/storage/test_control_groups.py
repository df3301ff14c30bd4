"""Memory that a container may still take: its own limit and those above it count, files that are only cached do not."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from radixdeck.storage.control_groups import left_bytes
from radixdeck.storage.room import free_bytes


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def left(tmp_path: Path, own: str) -> list[int]:
    (tmp_path / "own").write_text(own)
    return list(left_bytes(tmp_path / "cgroup", tmp_path / "own"))


def test_every_group_above_counts(tmp_path: Path) -> None:
    top = tmp_path / "cgroup"
    group(top / "user", memory__max="1000\n", memory__current="400\n", memory__stat="anon 5\ninactive_file 100\n")
    group(top / "user/radix", memory__max="max\n", memory__current="300\n")
    group(top / "user/radix/run", memory__max="500\n", memory__current="600\n")
    assert left(tmp_path, "0::/user/radix/run\n") == [0, 700]


def test_the_older_version_has_other_names(tmp_path: Path) -> None:
    folder = tmp_path / "cgroup/memory/box"
    group(folder, memory__limit_in_bytes="1000", memory__usage_in_bytes="900", memory__stat="total_inactive_file 50")
    assert left(tmp_path, "5:cpu:/box\n4:memory:/box\n") == [150]


def test_a_container_that_sees_its_own_group_as_the_top_is_found(tmp_path: Path) -> None:
    group(tmp_path / "cgroup", memory__max="1000", memory__current="1")
    assert left(tmp_path, "0::/not/seen/from/here\n") == [999]


@pytest.mark.parametrize("own", ["", "garbage", "0::", "0", ":::::", "0::/../../..\n", "\x00\xff"])
def test_garbage_tells_of_no_limit(tmp_path: Path, own: str) -> None:
    group(tmp_path / "cgroup", memory__max="lots", memory__current="-1", memory__stat="inactive_file\nx y z")
    assert left(tmp_path, own) == []


def test_no_files_tell_of_no_limit(tmp_path: Path) -> None:
    assert list(left_bytes(tmp_path, tmp_path / "own")) == []


def test_what_is_free_is_never_more_than_the_machine_has() -> None:
    assert 0 < free_bytes() <= psutil.virtual_memory().total
