"""Lengths of last prompts: of the latest few only, by session and agent, and gone with either; and which of them the
engine remembers."""

from __future__ import annotations

from random import Random

from radixdeck.daemon.engine.sketch import NO_HASHES, Recent
from radixdeck.policies.reuse.lengths import MOST_TOKENS, ROWS, Lengths


def test_a_prompt_is_known_with_its_output_until_the_next_one_of_the_agent():
    lengths = Lengths()
    lengths.prompted(3, 7, "r1", 70_000, lengths.row(3, 7))
    row = lengths.row(3, 7)
    assert row is not None
    assert (lengths.is_of(row, "r1"), lengths.is_of(row, "r2")) == (True, False)
    lengths.responded("r1", 70_040)
    row = lengths.row(3, 7)
    assert row is not None
    assert (lengths.prompt_tokens(row), lengths.output_tokens(row)) == (70_000, 40)
    lengths.prompted(3, 7, "r2", 80, lengths.row(3, 7))
    row = lengths.row(3, 7)
    assert row is not None
    assert (lengths.prompt_tokens(row), lengths.output_tokens(row), lengths.is_of(row, "r2")) == (80, 0, True)
    assert lengths.row(7, 3) is None


def test_an_output_is_told_within_bounds():
    lengths = Lengths()
    lengths.prompted(0, 0, "r1", 900, lengths.row(0, 0))
    lengths.responded("r1", 10**9)
    row = lengths.row(0, 0)
    assert row is not None
    assert lengths.output_tokens(row) == MOST_TOKENS


def test_the_oldest_make_room_and_places_and_agents_are_forgotten():
    lengths = Lengths()
    for number in range(ROWS + 1):
        lengths.prompted(number, 1, f"r{number}", 10 + number, lengths.row(number, 1))
    assert lengths.row(0, 1) is None
    assert lengths.row(ROWS, 1) is not None
    lengths.prompted(ROWS, 2, "other", 5, lengths.row(ROWS, 2))
    lengths.forget_agent(1)
    assert lengths.row(ROWS, 1) is None
    assert lengths.row(ROWS, 2) is not None
    lengths.forget_place(ROWS)
    assert lengths.row(ROWS, 2) is None


def test_sessions_beyond_256_places_are_told_apart():
    lengths = Lengths()
    for place in (1, 257, 1023):
        lengths.prompted(place, 5, f"r{place}", place, lengths.row(place, 5))
    found = {place: lengths.row(place, 5) for place in (1, 257, 1023, 0, 513)}
    assert [lengths.prompt_tokens(row) for row in found.values() if row is not None] == [1, 257, 1023]
    assert (found[0], found[513]) == (None, None)
    lengths.forget_place(257)
    assert lengths.row(257, 5) is None
    assert lengths.row(1, 5) is not None


def test_it_knows_which_requests_the_engine_remembers():
    lengths, recent, rng = Lengths(), Recent(), Random(1)
    asked, running = dict[tuple[int, int], str](), list[tuple[str, str]]()
    for number in range(1500):
        rid, place, agent = f"r{number}", rng.randrange(40), rng.randrange(20)
        named = rng.random() < 0.9
        if named:
            lengths.prompted(place, agent, rid, 10, lengths.row(place, agent))
            asked[place, agent] = rid
        else:
            lengths.passed(rid)
        running.append((rid, str(agent) if named else ""))
        recent.keep(*running[-1], "", NO_HASHES)
        if len(running) > 10:
            done, who = running.pop(rng.randrange(10))
            lengths.responded(done, 20)
            recent.keep(done, who, "", NO_HASHES)
        kept = recent._kept  # pyright: ignore[reportPrivateUsage]
        for (where, whose), latest in asked.items():
            row = lengths.row(where, whose)
            assert (row is not None and lengths.is_remembered(row)) == (latest in kept)
            assert row is None or lengths.is_of(row, latest)
        assert {number for number in range(20) if lengths.remembers(number)} == {
            int(who) for who, _, _ in kept.values() if who
        }
