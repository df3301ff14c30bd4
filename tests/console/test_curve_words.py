"""A curve of which not all sizes are known yet: nothing is said of those, and their columns are dots."""

from __future__ import annotations

from radixdeck.console.curve import draw, words
from radixdeck.storage.miss_ratio import SIZES, Curve

WHOLE = tuple(place / 20 for place in range(len(SIZES)))


def known_up_to(times: float) -> Curve:
    return Curve(6_882, 60, WHOLE[: SIZES.index(times) + 1], 0.4, 1)


def test_sizes_that_are_not_known_have_no_rate() -> None:
    curve = known_up_to(2.0)
    assert curve.at(2.0) == WHOLE[SIZES.index(2.0)]
    assert curve.at(2.1) is None
    assert (
        "With 2x the KV memory the hit rate would be 60.0% (+20.0 points), with 4x the hit rate is not known yet"
        in (words(curve))
    )


def test_where_the_memory_there_is_is_not_known_yet_nothing_is_held_against_it() -> None:
    told = words(known_up_to(0.5))
    assert "with half of it the hit rate would be 20.0%." in told
    assert "what plain LRU would serve is not known yet; really 40.0% is served" in told
    assert "points" not in told


def test_their_columns_are_dots() -> None:
    lines = draw(known_up_to(1.0), 8 + 17, 6).plain.split("\n")
    columns = [line[8:] for line in lines[:-1]]
    assert columns[-1][9:] == "·" * 8
    assert not "".join(line[9:] for line in columns[:-1]).strip()
    assert "·" not in draw(known_up_to(4.0), 8 + 17, 6).plain
