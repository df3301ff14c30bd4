"""Lengths of last prompts: of the latest few only, by session and agent, and gone with either."""

from __future__ import annotations

from radixdeck.policies.lengths import MOST_TOKENS, ROWS, Lengths


def test_a_prompt_is_known_with_its_output_until_the_next_one_of_the_agent():
    lengths = Lengths()
    lengths.prompted(3, 7, "r1", 70_000, lengths.row(3, 7))
    row = lengths.row(3, 7)
    assert row is not None
    assert (lengths.is_of(row, "r1"), lengths.is_of(row, "r2")) == (True, False)
    lengths.responded(row, 70_040)
    assert (lengths.prompt_tokens(row), lengths.output_tokens(row)) == (70_000, 40)
    lengths.prompted(3, 7, "r2", 80, lengths.row(3, 7))
    row = lengths.row(3, 7)
    assert row is not None
    assert (lengths.prompt_tokens(row), lengths.output_tokens(row), lengths.is_of(row, "r2")) == (80, 0, True)
    assert lengths.row(7, 3) is None


def test_an_output_is_told_within_bounds():
    lengths = Lengths()
    lengths.prompted(0, 0, "r1", 900, lengths.row(0, 0))
    row = lengths.row(0, 0)
    assert row is not None
    lengths.responded(row, 10**9)
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
