"""What to keep when only so much fits at a time: a weighted packing of intervals, solved exactly as a linear program.

What is kept at one point is what was kept at the point before, less what ends there, plus what begins there. Written
that way an interval stands in two rows, with +1 and -1: a network, whose optimum is whole numbers (Carlisle and Lloyd,
On the k-coloring of intervals, Discrete Applied Mathematics 59, 1995).
"""

from __future__ import annotations

from collections.abc import Sequence

import highspy
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Span = tuple[int, int, int, int]
"""Begin, end, worth of each unit, and size: what takes its size at all points from `begin` until `end`, exclusive, and
may be kept in part."""


def most_worth(spans: Sequence[Span], room: Sequence[int]) -> int:
    """The most that spans are worth that fit together. `room[p]`: what fits at point p, not below 0.

    Raises RuntimeError if the solver finds no optimum.
    """
    if not spans:
        return 0
    kinds, sizes = _merged(spans)
    takes_room = kinds[:, 0] < kinds[:, 1]
    certain = int(kinds[~takes_room, 2] @ sizes[~takes_room])
    if not takes_room.any():
        return certain
    most = int(sizes.sum())  # more room than that only strains the solver
    return certain + _solve(kinds[takes_room], sizes[takes_room], np.array([min(one, most) for one in room], np.int64))


def _merged(spans: Sequence[Span]) -> tuple[Numbers, Numbers]:
    """[kind, 3], begin, end and worth of each kind of span, and [kind], the size of all that are of it."""
    told = np.array(spans, np.int64)
    kinds, kind = np.unique(told[:, :3], axis=0, return_inverse=True)
    sizes = np.zeros(len(kinds), np.int64)
    np.add.at(sizes, kind.ravel(), told[:, 3])
    return kinds, sizes


def _solve(kinds: Numbers, sizes: Numbers, room: Numbers) -> int:
    """Columns are kinds of spans, then what is left at each point; row p says what is kept and left there, less the
    same of the point before, which is by how much more fits there."""
    points, columns = len(room), len(kinds) + len(room)
    every, left = np.arange(len(kinds)), len(kinds) + np.arange(points)
    column = np.concatenate([every, every, left, left[:-1]])
    row = np.concatenate([kinds[:, 0], kinds[:, 1], np.arange(points), np.arange(1, points)])
    sign = np.repeat([1.0, -1.0, 1.0, -1.0], [len(every), len(every), points, points - 1])
    order = np.lexsort((row, column))
    order = order[row[order] < points]
    change = np.diff(room, prepend=0).astype(np.float64)
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("threads", 1)
    told = solver.passModel(
        columns, points, len(order), int(highspy.MatrixFormat.kColwise), int(highspy.ObjSense.kMaximize), 0.0,
        np.concatenate([kinds[:, 2], 0 * room]).astype(np.float64), np.zeros(columns),
        np.concatenate([sizes, room]).astype(np.float64), change, change,
        np.searchsorted(column[order], np.arange(columns)), row[order], sign[order], np.zeros(columns, np.int64),
    )  # fmt: skip
    solver.run()
    status = solver.getModelStatus()
    if told != highspy.HighsStatus.kOk or status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"no best of {len(kinds)} spans: {solver.modelStatusToString(status)}")
    return round(solver.getInfo().objective_function_value)
