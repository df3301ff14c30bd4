"""Requests that take long: many others come and go meanwhile, or the recording goes on in another file.

The engine tells the next turn against a request from when it finishes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from several_files import turned_behind
from storage_samples import Numbering, info

from radixdeck.policies import events as ev
from radixdeck.storage import prompts
from radixdeck.storage.delay_line import KEEP, DelayLine
from radixdeck.storage.prompts import PromptBook
from radixdeck.storage.session import open_session

NUMBER = Numbering()


def tokens(text: str) -> bytes:
    return NUMBER.hashes(text).astype("<u4").tobytes()


def matched(rid: str, prompt: str, base_rid: str = "", shared: int = 0) -> ev.PrefixMatched:
    return ev.PrefixMatched(
        t_ns=info().started_ns, rid=rid, agent="a", session="s", prompt_tokens=len(prompt), cached_tokens=0,
        base_rid=base_rid, base_tokens=shared, tail=tokens(prompt)[4 * shared :],
    )  # fmt: skip


def inserted(rid: str, prompt: str, output: str = "") -> list[ev.AnyEvent]:
    """The prompt is in, and the output."""
    told = {"t_ns": info().started_ns, "rid": rid, "new_tokens": 0}
    out = tokens(prompt + output)[4 * len(prompt) :]
    return [
        ev.PrefixInserted(phase="prompt", total_tokens=len(prompt), **told),
        ev.PrefixInserted(phase="finish", total_tokens=len(prompt + output), output=out, **told),
    ]


def run(others: int) -> tuple[list[ev.AnyEvent], int]:
    """A slow request, others meanwhile, and its session's next turns; and how many events there are up to its end."""
    slow, second, third = "abc", "abcdef", "abcdefgh"
    events: list[ev.AnyEvent] = [
        ev.EngineStarted(t_ns=info().started_ns, pid=1, model="m", capacity_tokens=9_000, page_size=1, policy="lru"),
        matched("slow", slow),
    ]
    for count in range(others):
        events += [matched(f"o{count}", "xy"), *inserted(f"o{count}", "xy")]
    events += inserted("slow", slow, "de")
    return [
        *events,
        matched("second", second, "slow", 5), *inserted("second", second, "g"),
        matched("third", third, "second", 7), *inserted("third", third),
    ], len(events)  # fmt: skip


def test_beside_the_live_run_its_next_turns_are_rebuilt() -> None:
    events, _ = run(2 * KEEP)
    line = DelayLine()
    for seq, event in enumerate(events):
        line.take(seq, event)
    asked = {fed.request.rid: list(fed.request.hashes) for fed in line.ready() if fed.request is not None}
    assert line.left_out == 0
    assert asked["slow"] == list(NUMBER.hashes("abcde"))
    assert asked["third"] == list(NUMBER.hashes("abcdefgh"))


async def test_in_the_next_file_its_next_turns_are_whole(tmp_path: Path) -> None:
    events, over = run(2 * KEEP)
    _, later = await turned_behind(tmp_path, events, info(), over)
    with open_session(later) as session:
        assert [list(request.hashes) for request in session.requests()] == [
            list(NUMBER.hashes("abcdefg")), list(NUMBER.hashes("abcdefgh")),
        ]  # fmt: skip
        assert session.skipped == 0


async def test_what_is_in_its_prefill_when_the_file_turns_is_left_out_of_the_later_one_and_counted(
    tmp_path: Path,
) -> None:
    prompts = {f"r{count}": "xy" for count in range(5)}
    whole = [event for rid, prompt in prompts.items() for event in (matched(rid, prompt), *inserted(rid, prompt))]
    under_way = ("first", "second")
    events = [*whole, *(matched(rid, "abc") for rid in under_way)]
    after = [event for rid in under_way for event in inserted(rid, "abc", "d")]
    last = [matched("last", "abcde"), *inserted("last", "abcde")]
    found: list[tuple[int, int]] = []
    for path in await turned_behind(tmp_path, [*events, *after, *last], info(), len(events)):
        with open_session(path) as session:
            found.append((len(session.requests()), session.skipped))
    assert found == [(5, 0), (1, 2)]


def test_what_never_finishes_is_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MOST_UNFINISHED", 3)
    book = PromptBook(1)
    for rid in ("lost", "kept", "over"):
        book.matched(matched(rid, "abc"))
    book.finished(ev.PrefixInserted(t_ns=1, rid="over", phase="finish", total_tokens=3, new_tokens=3))
    for rid in ("third", "fourth"):
        book.matched(matched(rid, "abc"))
    known = [book.matched(matched(f"after {base}", "abcd", base, 3)) is not None for base in ("lost", "kept", "over")]
    assert known == [False, True, True]


def test_an_engine_that_starts_refers_to_nothing_of_before() -> None:
    events, _ = run(1)
    line = DelayLine()
    for seq, event in enumerate([*events, events[0], matched("again", "abcd", "slow", 3)]):
        line.take(seq, event)
    assert line.left_out == 1
