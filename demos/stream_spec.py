"""What a modelled request stream is made of: the settings, with where their numbers come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from radixdeck.storage.atoms import Prompt

from .graphs import TOPOLOGIES
from .workloads import Style, Topology, WorkloadError

Change = Literal["", "roster", "topology"]
Prompts = Literal["fixed", "per_task", "per_task_same_name"]
Ids = Literal[
    "true", "one_agent", "one_session", "all_equal", "session_per_request", "agent_per_request", "random",
    "no_session", "no_agent", "none",
]  # fmt: skip
Bounds = tuple[int, int]

_KNOWN: dict[str, tuple[str, ...]] = {
    "topology": tuple(TOPOLOGIES), "style": get_args(Style), "change": get_args(Change), "prompts": get_args(Prompts),
    "ids": get_args(Ids),
}  # fmt: skip
_WITHIN = {
    "agents": (1, 1_000), "team": (0, 1_000), "tool_share": (0, 0.5), "stripped_share": (0, 1),
    "preamble_tokens": (0, 10_000),
}  # fmt: skip


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to generate. Pairs are inclusive bounds in tokens, drawn evenly.

    Anchors of 300-1,500 tokens behind a shared chat preamble, the two prompt styles (`supervisor`: anchor and the whole
    shared transcript; `private`: anchor and the agent's own history), the topologies, Poisson arrivals and tool pauses
    are those of the experiment that the targets come from. Message sizes are near those of `workloads.WorkloadSpec`:
    with 6 and 12 agents anchors are 30-55 % of prompt tokens, where arXiv 2605.27744 reports 34-62 %.

    `team`: agents of one session, drawn from all by Zipf's law, 0: all of them. `live_sessions`: mean number under way
    at once, by Little's law on the sessions' own mean duration. `tool_share`: share of responses that are tool
    calls, after which the same agent comes back with the result, mean over the agents: evenly from 0 to twice that.
    `pause_s`: median hand-over between agents, log-normal (sigma 0.7). Tool calls pause by the agent's own log-normal
    (sigma 0.8) whose median is drawn log-evenly from `tool_pause_s`: tools are of very different speed (arXiv
    2511.02230). `stripped_share`: agents whose output does not come back as it was, for its reasoning is left out of
    the history. `prefill_tokens_per_s`, `decode_tokens_per_s`: speed of an engine of one GPU with a model of some 8 B;
    requests take their time as if nothing were cached, whatever the policy.

    `change`: halfway through, new sessions have other agents in every other seat (`roster`), or another topology.
    `prompts`: `per_task`: agents with anchors written anew for each session, under new ids; `per_task_same_name`: under
    the old ids. `ids`: what callers say, see `stream_ids`; `identified`: policies are told what the daemon makes of it,
    not what was said. `tells_ends`, `tells_next`: whether callers say when a session is over, and which agent comes
    next.
    """

    seed: int
    requests: int = 800
    agents: int = 6
    team: int = 0
    topology: Topology = "pipeline"
    style: Style = "private"
    live_sessions: float = 6.0
    change: Change = ""
    prompts: Prompts = "fixed"
    ids: Ids = "true"
    identified: bool = False
    tells_ends: bool = False
    tells_next: bool = False
    preamble_tokens: int = 40
    anchor_tokens: Bounds = (300, 1500)
    task_tokens: Bounds = (40, 120)
    said_tokens: Bounds = (30, 120)
    news_tokens: Bounds = (100, 400)
    result_tokens: Bounds = (50, 400)
    tool_share: float = 0.3
    pause_s: float = 2.0
    tool_pause_s: tuple[float, float] = (1.0, 10.0)
    stripped_share: float = 0.25
    prefill_tokens_per_s: float = 8_000.0
    decode_tokens_per_s: float = 80.0


@dataclass(frozen=True)
class Call:
    """One request as it is scripted. `anchor_atoms`: leading atoms of the prompt that are system prompt and tools;
    `fingerprint`: what the daemon would tell that text by, '' if there is none. `tool`: which one the response calls,
    '' if it is an answer; `last`: the session is over with it; `next_agent`: who comes next in the session, '' if
    nobody does; `closes`: the response says by its last word that the session is over."""

    start_s: float
    prefilled_s: float
    finish_s: float
    session: str
    agent: str
    prompt: Prompt
    output: Prompt
    anchor_atoms: int = 0
    fingerprint: str = ""
    tool: str = ""
    last: bool = False
    next_agent: str = ""
    closes: bool = False


def check(spec: StreamSpec) -> None:
    """Raises WorkloadError naming the setting that makes no sense."""
    for name, known in _KNOWN.items():
        if getattr(spec, name) not in known:
            raise WorkloadError(f"{name}: no {getattr(spec, name)!r}; known: {', '.join(map(repr, known))}")
    for name in ("requests", "live_sessions", "pause_s", "prefill_tokens_per_s", "decode_tokens_per_s"):
        if not getattr(spec, name) > 0:
            raise WorkloadError(f"{name}: {getattr(spec, name)} is not above 0")
    for name in ("anchor_tokens", "task_tokens", "said_tokens", "news_tokens", "result_tokens", "tool_pause_s"):
        low, high = getattr(spec, name)
        if not 0 < low <= high:
            raise WorkloadError(f"{name}: {low} to {high} is not a range above 0")
    for name, (least, most) in _WITHIN.items():
        if not least <= getattr(spec, name) <= most:
            raise WorkloadError(f"{name}: {getattr(spec, name)} is outside {least} to {most}")
    if spec.team > spec.agents:
        raise WorkloadError(f"team: {spec.team} of {spec.agents} agents")
