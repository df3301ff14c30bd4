"""What runs beside the console while it is measured: a shadow, the curve, or what-ifs of a made-up recorded run."""

from __future__ import annotations

import asyncio
from pathlib import Path

from radixdeck.console.app import ConsoleApp
from radixdeck.console.screens.shadow import ShadowScreen
from radixdeck.console.shadow_run import Choice
from radixdeck.console.whatif_case import Case
from radixdeck.policies import events as ev
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.evaluate import evaluate
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder

from .streams import StreamSpec, generate_stream

ON, OTHER = "lru", "kv_caching"
SHOWN = {"shadow": "policies", "curve": "residency", "whatif": "whatif"}
"""The screen in front, by what runs: the curve is counted behind the map."""
REQUESTS = 4_000
"""What a quarter of a core follows in about 40 s."""
KEYFRAME_EVERY = 1_000


def write_run(path: Path, requests: int = REQUESTS) -> None:
    """A run of six agents under LRU in half the memory that they need, prompts and all."""
    stream = generate_stream(StreamSpec(seed=7, requests=requests))
    events: list[ev.AnyEvent] = []
    evaluate(stream, ON, stream.working_set_tokens // 2, take=events.append)
    asyncio.run(_record(path, events))


async def _record(path: Path, events: list[ev.AnyEvent]) -> None:
    info = RunInfo(run="beside", node="bench", started_ns=events[0].t_ns, version="bench", model="m", config={})
    recorder, state = Recorder(path, info), RunState()
    for seq, event in enumerate(events, 1):
        fold(state, event)
        recorder.record(seq, event)
        if seq % KEYFRAME_EVERY == 0:
            recorder.keyframe(seq, state)
            await recorder.flush()
    await recorder.close()


def begin(app: ConsoleApp, what: str) -> None:
    """Start it, as its key would."""
    entry = app.entry
    assert entry is not None
    if what == "shadow":
        app.push_screen(ShadowScreen(OTHER))
    elif what == "curve":
        app.shadows.want(app, entry, Choice(""))
    elif what == "whatif":
        app.run_whatifs(entry, [Case(OTHER, times) for times in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)])
