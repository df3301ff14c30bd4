"""Pictures for the docs, drawn by the console itself over a recording of what a demo did on the real engine:

python scripts/screenshots.py incident RECORDING [FOLDER]    docs/incident.md, of demos/noisy_neighbour.py
python scripts/screenshots.py console RECORDING [FOLDER]     docs/console.svg, of the demo (`make demo`)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.storage.session import Session, open_session

SIZE = (120, 34)
PATIENCE_S = 60.0


class Shot(NamedTuple):
    """Name of the picture, the moment it shows, and the keys that lead to it from the first screen."""

    name: str
    moment: str
    keys: tuple[str, ...]


SETS: dict[str, tuple[Shot, ...]] = {
    "incident": (
        Shot("incident-1-symptom", "before", ()),
        Shot("incident-2-who", "before", ("7",)),
        Shot("incident-3-why", "before", ("7", "enter")),
        Shot("incident-4-agent", "before", ("7", "a")),
        Shot("incident-5-map", "before", ("2", "j", "j", "j", "j", "j", "j", "j")),
        Shot("incident-6-fixed", "end", ("7", "a")),
    ),
    "console": (Shot("console", "switched", ("2", "j", "j", "j")),),
}


def moments(session: Session) -> dict[str, int]:
    """The last moment before somebody ordered something, halfway from the last switch of a policy to the end, and the
    end of the recording."""
    ordered = session.next_of(session.first_seq, ("action_taken",))
    seq = session.last_seq if ordered is None else ordered
    switch = session.next_of(session.last_seq + 1, ("policy_switched",), backwards=True)
    switched_ns = session.first_ns if switch is None else session.arrived_ns(switch)
    return {
        "before": session.arrived_ns(seq - 1),
        "switched": (switched_ns + session.last_ns) // 2,
        "end": session.last_ns,
    }


async def shoot(shots: Sequence[Shot], path: Path, folder: Path) -> list[Path]:
    """Every picture as an SVG in `folder`."""
    made: list[Path] = []
    for name, moment, keys in shots:
        with open_session(path) as session:
            feed = ReplayFeed(session, playing=False)
            app = ConsoleApp(feed, read_only=True, animate=False)
            async with app.run_test(size=SIZE) as pilot:
                feed.seek(moments(session)[moment])
                await _until(pilot, lambda app=app, feed=feed: _ready(app, feed))
                for key in keys:
                    await pilot.press(key)
                    await _drawn(pilot, app)
                await _drawn(pilot, app)
                made.append(Path(app.save_screenshot(f"{name}.svg", str(folder))))
    return made


def _ready(app: ConsoleApp, feed: ReplayFeed) -> bool:
    """Whether the state of the moment is there, and what the policies thought of it."""
    entry = app.entry
    return entry is not None and entry.seq > 0 and feed.policies(entry.run) is not None


async def _drawn(pilot: Pilot[None], app: ConsoleApp) -> None:
    for _ in range(2):
        app.draw()
        await pilot.pause()


async def _until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await pilot.pause(0.02)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in SETS:
        sys.exit(__doc__)
    target = Path(sys.argv[3]) if len(sys.argv) == 4 else Path(__file__).parent.parent / "docs"
    for picture in asyncio.run(shoot(SETS[sys.argv[1]], Path(sys.argv[2]), target)):
        print(picture)
