"""A replay of a recording with a place that cannot be read: it pauses there, says so, and goes on where it is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from scenario import NODE, folded, run_events
from staging import drawn, recorded, toasts, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.storage.errors import SessionError
from radixdeck.storage.session import Session, open_session

EVENTS = run_events()


def unreadable(session: Session) -> list[int]:
    """Numbers of the events that lie on a damaged page."""
    found: list[int] = []
    for seq in range(session.first_seq, session.last_seq + 1):
        try:
            session.events(seq - 1, 1)
        except SessionError:
            found.append(seq)
    return found


async def damaged(folder: Path) -> Path:
    """A recording with one page of its events overwritten, somewhere in the middle."""
    path = folder / "run.db"
    (await recorded(path, EVENTS)).close()
    with sqlite3.connect(path) as connection:
        (pages,), (size,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    connection.close()
    whole = path.read_bytes()
    for page in range(pages // 2, pages):
        path.write_bytes(whole[: page * size] + b"\xff" * size + whole[(page + 1) * size :])
        with open_session(path) as session:
            if 0 < len(unreadable(session)) < 100:
                return path
    raise AssertionError("no page of events found")


@pytest.fixture
async def session(tmp_path: Path) -> Session:
    return open_session(await damaged(tmp_path))


def at(app: ConsoleApp) -> int:
    return app.fleet.nodes[NODE].seq if NODE in app.fleet.nodes else -1


async def test_a_replay_pauses_before_a_damaged_place_and_every_key_still_works(session: Session) -> None:
    gone = unreadable(session)
    feed = ReplayFeed(session, playing=False, speed=64.0)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: at(app) > 0)
        feed.seek(EVENTS[gone[0] - 5].t_ns)
        await until(pilot, lambda: gone[0] - 6 < at(app) < gone[0])
        shown_ns = feed.position_ns
        await pilot.press("space")
        await until(pilot, lambda: not feed.playing)
        assert shown_ns <= feed.position_ns < EVENTS[gone[-1]].t_ns
        text = await drawn(pilot)
        assert "damaged or cut short; ] goes past it" in toasts(app)
        assert "retrying" not in text
        for _ in range(5):
            await pilot.press("right_square_bracket")
        await until(pilot, lambda: at(app) > gone[-1])
        feed.toggle()
        await until(pilot, lambda: at(app) > gone[-1] + 20)
        feed.toggle()
        await pilot.press("G")
        await until(pilot, lambda: app.fleet.nodes[NODE].run == folded(EVENTS))
        await pilot.press("g")
        await until(pilot, lambda: feed.position_ns == feed.first_ns and at(app) < 10)
    session.close()


async def test_a_moment_that_cannot_be_rebuilt_leaves_what_was_shown(session: Session) -> None:
    gone = unreadable(session)
    feed = ReplayFeed(session, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: at(app) > 0)
        before = feed.position_ns, at(app)
        feed.seek(EVENTS[gone[-1]].t_ns)
        await until(pilot, lambda: "damaged or cut short" in feed.notice)
        assert (feed.position_ns, at(app)) == before
    session.close()


async def test_moments_beside_a_damaged_place_are_found(session: Session) -> None:
    gone = unreadable(session)
    for seq in (1, gone[0] - 1, gone[-1] + 1, len(EVENTS)):
        assert seq - 1 <= session.seq_at(EVENTS[seq - 1].t_ns)
        assert EVENTS[session.seq_at(EVENTS[seq - 1].t_ns) - 1].t_ns == EVENTS[seq - 1].t_ns
    assert session.next_readable(gone[0] - 1) == gone[-1] + 1
    assert sum(session.density(20)) == len(EVENTS)
    session.close()


async def test_a_file_that_is_locked_for_a_moment_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await recorded(tmp_path / "run.db", EVENTS)
    asked: list[str] = []

    def locked(statement: str, _: object = ()) -> Callable[[], None]:
        asked.append(statement)
        raise SessionError("database is locked") from sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as broken:
        broken.setattr(session, "_rows", locked)
        with pytest.raises(SessionError, match="locked"):
            session.next_readable(10)
    assert len(asked) == 1
    assert session.next_readable(10) == 11
    session.close()


async def test_stepping_goes_past_events_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    (await recorded(path, EVENTS)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE events SET body = '{"k":"dream","t_ns":1}' WHERE seq IN (50, 51, 52)""")
    connection.close()
    with open_session(path) as session:
        feed = ReplayFeed(session, playing=False)
        messages = aiter(feed)
        for _ in range(4):
            await anext(messages)
        feed.seek(EVENTS[48].t_ns - 1)
        while feed._seq < 40:
            await anext(messages)
        feed.step(49 - feed._seq)
        while feed._seq < 49:
            await anext(messages)
        feed.step(1)
        await anext(messages)
        assert feed._seq == 53
        assert feed.position_ns == EVENTS[52].t_ns


async def test_a_reader_that_ended_for_good_is_not_said_to_try_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: ReplayFeed) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(ReplayFeed, "_tell_of_skipped", fail)
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.fleet.over)
        text = await drawn(pilot)
        assert "reading stopped: no more; what was seen stays on screen" in text
        assert "retrying" not in text
    session.close()
