"""The best packing of intervals against every packing there is."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.storage.packing import Span, most_worth

POINTS = 5
spans = st.lists(
    st.tuples(st.integers(0, POINTS), st.integers(0, POINTS), st.integers(1, 4), st.integers(1, 3)), max_size=5
)


def best_of_all(spans: list[Span], room: list[int]) -> int:
    """Tries every size of every span."""

    def fits(kept: tuple[int, ...]) -> bool:
        return all(
            sum(size for (begin, end, _, _), size in zip(spans, kept, strict=True) if begin <= point < end)
            <= room[point]
            for point in range(POINTS)
        )

    choices = product(*(range(size + 1) for *_, size in spans))
    return max(
        sum(worth * n for (_, _, worth, _), n in zip(spans, kept, strict=True)) for kept in choices if fits(kept)
    )


@settings(max_examples=300, deadline=None)
@given(spans, st.lists(st.integers(0, 4), min_size=POINTS, max_size=POINTS))
def test_no_packing_is_worth_more(drawn: list[Span], room: list[int]) -> None:
    assert most_worth(drawn, room) == best_of_all(drawn, room)


def test_what_is_worth_more_may_end_later() -> None:
    """Where all are worth the same the one that ends last goes; here it is worth three times as much."""
    assert most_worth([(0, 4, 3, 2), (1, 2, 1, 2)], [2, 2, 2, 2]) == 6
    assert most_worth([(0, 4, 1, 2), (1, 2, 1, 2)], [2, 2, 2, 2]) == 2


def test_what_takes_room_at_no_point_is_always_kept() -> None:
    assert most_worth([(2, 2, 5, 7)], [0, 0, 0]) == 35
    assert most_worth([], [0, 0]) == 0


def test_any_amount_of_room_is_understood() -> None:
    for much in (10**6, 10**15, 10**30):
        assert most_worth([(0, 3, 5, 1), (1, 2, 4, 2)], [much, 2, much]) == 5 + 4


def test_the_solver_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """It would write over the console."""
    most_worth([(0, 3, 5, 1), (1, 2, 4, 2)], [2, 2, 2])
    assert capfd.readouterr() == ("", "")
