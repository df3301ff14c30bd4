"""Bits of a recording that went bad: what is in them is lost, said to be so, and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from storage_samples import folded, recorded, stream

from radixdeck.storage.listing import list_runs
from radixdeck.storage.session import open_session

EVENTS = stream(120, seed=3)


async def test_a_byte_that_is_no_text_costs_the_event_it_is_in(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await recorded(path, EVENTS, keyframe_every=97)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """UPDATE events SET body = substr(body, 1, 20) || CAST(x'ff' AS TEXT) || substr(body, 22) WHERE seq = 150;
               UPDATE runs SET config = '{"kv_tokens":1,"note' || CAST(x'ff' AS TEXT) || '":2}'"""
        )
    with open_session(path) as session:
        assert [seq for seq, _ in session.events(148, 3)] == [149, 151]
        assert session.skipped == 1
        assert session.state_after(160) == folded([*EVENTS[:149], *EVENTS[150:160]])
        assert session.info.config["kv_tokens"] == 1
    assert [run.error for run in list_runs(tmp_path)] == [""]


async def test_damage_to_a_keyframe_makes_no_other_state(tmp_path: Path) -> None:
    """Each bit of its head, one of every so many bytes behind, and a size that no memory holds: the state is what the
    events make it."""
    path, seq = tmp_path / "a.db", 485
    await recorded(path, EVENTS, keyframe_every=97)
    state = folded(EVENTS[:seq])
    with open_session(path) as session, closing(sqlite3.connect(path)) as connection:
        (sound,) = connection.execute("SELECT state FROM keyframes WHERE seq = ?", (seq,)).fetchone()
        head = [(place, bit) for place in range(12) for bit in range(8)]
        behind = [(place, place % 8) for place in range(12, len(sound), 29)]
        endless = sound[:4] + b"\xe4" + (1 << 46).to_bytes(8, "little") + sound[13:]
        for bad in [endless, *(flipped(sound, place, bit) for place, bit in (*head, *behind))]:
            connection.execute("UPDATE keyframes SET state = ? WHERE seq = ?", (bad, seq))
            connection.commit()
            assert session.state_after(seq) == state
            assert session.totals_at(seq) in (None, state.totals)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
