"""Prompts rebuilt from a recording are the prompts that were asked, as far as what they share goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from storage_samples import Numbering, recorded

from radixdeck.policies import events as ev
from radixdeck.storage.bound import belady_bound
from radixdeck.storage.prompts import Demand
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif_sizes import Piece, best_tokens

texts = st.text("ab", max_size=6)


def little_endian(hashes: np.ndarray) -> bytes:
    return hashes.astype("<u4").tobytes()


def told(prompts: list[tuple[str, str]], warm: tuple[int, ...] = ()) -> list[ev.AnyEvent]:
    """The engine's account of prompts that run one after the other, each told by its longest overlap with the last."""
    number = Numbering()
    events: list[ev.AnyEvent] = []
    last = ("", number.hashes(""))
    for i, (prompt, output) in enumerate(prompts):
        hashes, (base_rid, base) = number.hashes(prompt + output), last
        shared = next((n for n, (x, y) in enumerate(zip(hashes, base, strict=False)) if x != y), None)
        shared = min(len(prompt), len(hashes), len(base)) if shared is None else min(shared, len(prompt))
        who = {"rid": f"r{i}", "agent": "a", "session": "s"}
        tail = little_endian(hashes[shared : len(prompt)])
        overlap = {"base_rid": base_rid if shared else "", "base_tokens": shared, "tail": tail, "warm": i in warm}
        total, out = len(hashes), little_endian(hashes[len(prompt) :])
        events += [
            ev.PrefixMatched(t_ns=i, prompt_tokens=len(prompt), cached_tokens=0, **who, **overlap),
            ev.PrefixInserted(t_ns=i, rid=f"r{i}", phase="prompt", total_tokens=len(prompt), new_tokens=0),
            ev.PrefixInserted(t_ns=i, rid=f"r{i}", phase="finish", total_tokens=total, new_tokens=0, output=out),
        ]
        last = (f"r{i}", hashes)
    return events


def demand_of(events: list[ev.AnyEvent], after_seq: int = -1) -> Demand:
    demand = Demand(after_seq)
    for seq, event in enumerate(events):
        demand.add(seq, event)
    return demand


@given(st.lists(st.tuples(texts, texts), max_size=6))
def test_rebuilt_as_they_were(prompts: list[tuple[str, str]]) -> None:
    number, demand = Numbering(), demand_of(told(prompts))
    requests = demand.requests()
    assert demand.left_out == 0
    for request, (prompt, output) in zip(requests, prompts, strict=True):
        assert list(request.hashes) == list(number.hashes(prompt + output))
        assert request.prompt_tokens == len(prompt)
        assert request.start < request.inserted < request.finish


def test_warm_ups_are_no_demand_but_may_be_referred_to() -> None:
    requests = demand_of(told([("abc", ""), ("abcd", "e"), ("abcde", "")], warm=(1,))).requests()
    assert [request.rid for request in requests] == ["r0", "r2"]
    assert [len(request.hashes) for request in requests] == [3, 5]


def test_part_of_a_run_still_knows_what_came_before() -> None:
    requests = demand_of(told([("abc", "d"), ("abcde", "")]), after_seq=2).requests()
    assert [(request.rid, len(request.hashes)) for request in requests] == [("r1", 5)]


def test_missing_and_garbled_events_leave_requests_out_and_say_so() -> None:
    events = told([("abc", ""), ("abcd", ""), ("x", "")])
    assert demand_of(events[1:]).left_out == 2, "r0, whose match is missing, and r1, which is told against it"
    garbled = ev.PrefixMatched(
        t_ns=0, rid="g", agent="a", session="s", prompt_tokens=3, cached_tokens=0, tail=b"12345", base_tokens=-1
    )
    orphan = ev.PrefixInserted(t_ns=0, rid="nobody", phase="finish", total_tokens=9, new_tokens=9, output=b"123")
    demand = demand_of([garbled, orphan, *events])
    assert demand.left_out == 1
    assert [request.rid for request in demand.requests()] == ["r0", "r1", "r2"]


def test_request_without_an_end_lets_go_when_its_prompt_is_in() -> None:
    events = told([("abc", "d"), ("ab", "")])
    (cut,) = demand_of(events[:2]).requests()
    assert (len(cut.hashes), cut.inserted, cut.finish) == (3, 1, 1)
    assert demand_of(events[:1]).requests() == []


def test_a_prompt_that_went_in_in_chunks_could_be_shared_from_the_first_and_is_whole_with_the_last() -> None:
    """What others are served between its chunks counts, if the bound is told how large they are."""
    serial = told([("abc", ""), ("xxxxxxxx", ""), ("abc", "")])
    chunk = ev.PrefixInserted(t_ns=1, rid="r1", phase="prompt", total_tokens=3, new_tokens=3)
    events = [*serial[:4], chunk, *serial[6:9], *serial[4:6]]
    _, request, _ = requests = demand_of(events).requests()
    assert (request.start, request.inserted, request.prefilled, request.finish) == (3, 4, 8, 9)
    assert best_tokens([Piece(9, 1, 3, requests)]) == 2
    assert best_tokens([Piece(9, 1, 8, requests)]) == 1


def test_requests_whose_inserts_were_lost_are_counted_and_those_under_way_are_not() -> None:
    events = told([("abc", ""), ("abcd", ""), ("abx", ""), ("y", "")])
    lost = [event for event in events if not (isinstance(event, ev.PrefixInserted) and event.rid in ("r1", "r3"))]
    demand = demand_of(lost)
    assert [request.rid for request in demand.requests()] == ["r0", "r2"]
    assert demand.left_out == 1, "r3 may still be computed"


async def test_from_the_file_to_the_bound(tmp_path: Path) -> None:
    events = told([("abcd", "e"), ("xy", ""), ("abcdef", ""), ("xyz", "")])
    await recorded(tmp_path / "a.db", events)
    with open_session(tmp_path / "a.db") as session:
        requests = session.requests()
        assert [request.rid for request in session.requests(upto_seq=6)] == ["r0", "r1"]
        assert [request.rid for request in session.requests(after_seq=6)] == ["r2", "r3"]
    assert belady_bound(requests, 100).hit_tokens == 5 + 2
    assert belady_bound(requests, 100).prompt_tokens == 15
