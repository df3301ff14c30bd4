"""How far apart the keyframes of a recording are: a seek folds few events, and encoding takes little of the time."""

from __future__ import annotations

EVENTS = 2_000
"""A keyframe is wanted after so many events. A seek folds no more than these; a full cache of 2,000 nodes is some 80 kB
in the file, a fifth of what the events themselves take."""
BYTES_PER_EVENT = 1_000
"""A state that is larger than this for each of those events is asked for more rarely: encoding one of 150,000 nodes
(28 MB) takes 80 ms, in which nobody is served, and a seek reads it for longer than it folds as many events."""
PERIOD_S = 10.0
"""Where fewer events come, a keyframe is wanted so often, for readers that go from one to the next."""
BYTES_PER_S = 400_000
"""And more rarely for a state that is larger than this for each of those seconds."""


class Spacing:
    """`events`: recorded since the last keyframe; `state_bytes`: its size, encoded."""

    def __init__(self) -> None:
        self.events = 0
        self.state_bytes = 0

    @property
    def over(self) -> bool:
        """Whether so much was recorded since the last keyframe that seeking would become slow."""
        return self.events >= max(EVENTS, self.state_bytes // BYTES_PER_EVENT)

    @property
    def period_s(self) -> float:
        """How far apart keyframes are wanted while there are few events, seconds."""
        return max(PERIOD_S, self.state_bytes / BYTES_PER_S)
