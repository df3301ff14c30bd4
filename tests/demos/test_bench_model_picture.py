"""Pictures of modelled benches, as they are saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from radixdeck.demos.bench_model import SHOWN
from radixdeck.demos.bench_model_judge import Summary
from radixdeck.demos.bench_model_picture import draw_gaps


def summary(way: str, family: str, gap: float = 40.0) -> Summary:
    return Summary(
        way=way, family=family, cells=12, gap=gap, spread=5.0, hit=50.0, lru=40.0, best=65.0, worst=1.0, worst_where="x"
    )


@pytest.mark.parametrize("families", [1, 2, 5, 11])
def test_nothing_is_cut_off_at_the_edges(tmp_path: Path, families: int):
    from matplotlib.image import imread

    told = [summary(way, f"family {number}") for number in range(families) for way in SHOWN]
    draw_gaps(tmp_path / "a.png", "Share of the gap from LRU to the best, seeds 101, 102, 103", told, SHOWN)
    drawn = imread(tmp_path / "a.png")[:, :, :3]
    for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
        assert edge.min() == 1.0
    assert drawn.min() < 0.5
