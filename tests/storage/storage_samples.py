"""Small real inputs that the storage tests share."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from radixdeck.policies import events as ev
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.trie import Hashes


class Numbering:
    """Prefix hashes without collisions: every different prefix gets the next number."""

    def __init__(self) -> None:
        self._children: list[dict[str, int]] = [{}]

    def hashes(self, tokens: Sequence[str]) -> Hashes:
        """One number per token, the same for the same prefix."""
        node, numbers = 0, []
        for token in tokens:
            if token not in self._children[node]:
                self._children[node][token] = len(self._children)
                self._children.append({})
            node = self._children[node][token]
            numbers.append(node)
        return np.array(numbers, np.uint32)


def info(run: str = "run-1", started_ns: int = 1_700_000_000_000_000_000) -> RunInfo:
    return RunInfo(run, "box", started_ns, "0.1.0", "demo/model", {"kv_tokens": 2400})


def stream(turns: int, seed: int = 0) -> list[ev.AnyEvent]:
    """A run of a few agents, about eight events a turn: engine and front facts, with front clocks a little behind."""
    chooser = random.Random(seed)
    now = info().started_ns
    events: list[ev.AnyEvent] = [
        ev.EngineStarted(t_ns=now, pid=1, model="m", capacity_tokens=2400, page_size=1, policy="lru")
    ]
    for turn in range(turns):
        now += chooser.randrange(1_000_000, 50_000_000)
        events += _turn(turn, now, chooser)
    return events


def _turn(turn: int, now: int, chooser: random.Random) -> list[ev.AnyEvent]:
    rid, agent, session = f"r{turn}", f"agent-{chooser.randrange(4)}", f"s{chooser.randrange(3)}"
    who = {"rid": rid, "agent": agent, "session": session}
    prompt, cached, node = chooser.randrange(50, 200), chooser.randrange(0, 50), 10 + turn
    tail = np.arange(prompt, dtype="<u4").tobytes()
    found = {"prompt_tokens": prompt, "cached_tokens": cached, "tail": tail, "warm": turn % 9 == 8}
    events: list[ev.AnyEvent] = [
        ev.RequestArrived(t_ns=now, **who),
        ev.PrefixMatched(t_ns=now + 2000, node=max(0, node - 1), **who, **found),
        ev.NodeAdded(t_ns=now + 5000, node=node, parent=0, start=0, tokens=prompt, agent=agent, session=session),
        ev.PrefixInserted(t_ns=now + 5000, rid=rid, phase="prompt", total_tokens=prompt, new_tokens=prompt),
        ev.FirstTokenSent(t_ns=now + 3000, rid=rid, ttft_s=0.25),
        ev.PrefixInserted(t_ns=now + 9000, rid=rid, phase="finish", total_tokens=prompt, new_tokens=0),
        ev.RequestFinished(t_ns=now + 7000, status=200, finish="stop", latency_s=0.5, output_tokens=16, **who),
    ]
    if turn % 3 == 2:
        parts = {"rate_per_s": chooser.random()}
        evicted = {"node": node - 2, "tokens": 7, "start": 0, "agents": (agent,), "by_rid": rid, "by_agent": agent}
        events.insert(2, ev.NodeEvicted(t_ns=now + 4000, role="private", score=1.5, parts=parts, **evicted))
    if turn % 10 == 9:
        events.append(ev.TunableChanged(t_ns=now, policy="kv_caching", name="decay", value=0.9))
        events.append(ev.CommandReceived(t_ns=now, id=f"c{turn}", name="pin", by="ann", ok=True))
    return events


def folded(events: Sequence[ev.AnyEvent]) -> RunState:
    state = RunState()
    for event in events:
        fold(state, event)
    return state


async def recorded(
    path: Path,
    events: Sequence[ev.AnyEvent],
    keyframe_every: int = 0,
    policy: Mapping[str, Any] | None = None,
    **options: int,
) -> Recorder:
    """A closed recording of `events`, numbered from 1. `policy`: that section of the configuration."""
    about = msgspec.structs.replace(info(), config=info().config | ({"policy": policy} if policy else {}))
    recorder, state = Recorder(path, about, **options), RunState()
    for seq, event in enumerate(events, 1):
        recorder.record(seq, event)
        if keyframe_every:
            fold(state, event)
            if seq % keyframe_every == 0:
                recorder.keyframe(seq, state)
    await recorder.close()
    return recorder
