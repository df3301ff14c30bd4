"""The state of one run as the screens show it. A keyframe is this state as a struct.

Everything in it is bounded, the nodes by the KV pool; agents beyond a few thousand share the row 'others' once they
hold nothing. JSON and back gives an equal state.
"""

from __future__ import annotations

import msgspec

from .events import NO_NODE, Cause, Part, Role


class NodeView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One resident cache node. `start`: depth of its first token; `idle` is now - last_use_ns."""

    node: int
    parent: int
    start: int
    tokens: int
    agents: tuple[str, ...] = ()
    role: Role = "unowned"
    session: str = ""
    last_use_ns: int = 0
    hits: int = 0
    pinned: bool = False
    part: Part = ""


class Ghost(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An eviction that may still turn out to hurt: what it covered, whose it was, and who caused it."""

    start: int
    tokens: int
    by_agent: str
    cause: Cause
    t_ns: int
    node: int = NO_NODE
    agents: tuple[str, ...] = ()
    by_rid: str = ""
    role: Role = "unowned"
    session: str = ""


class Hurt(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An eviction that hurt: request `rid` of `agent` computed `tokens` again at `t_ns`, because `node` (what it held:
    `role`, `session`, from depth `start`) had gone at `evicted_ns` for `by_rid` of `by_agent`, which computed
    `by_tokens` of its own."""

    t_ns: int
    rid: str
    agent: str
    tokens: int
    node: int
    evicted_ns: int
    cause: Cause = "allocation"
    role: Role = "unowned"
    session: str = ""
    start: int = 0
    by_rid: str = ""
    by_agent: str = ""
    by_tokens: int = 0


class Moment(msgspec.Struct, array_like=True):
    """One agent's requests in the `span_s` seconds from `t_s` on (UTC). `ttft_s`: sum over `answers`; `hurt`: its
    evictions that hurt."""

    t_s: int
    span_s: int
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answers: int = 0
    ttft_s: float = 0.0
    hurt: int = 0


class Guesses(msgspec.Struct, omit_defaults=True):
    """How often the most frequent follower so far was named before a step, and how often it was the one that came."""

    made: int = 0
    right: int = 0


class AgentStats(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Counters of one agent since the run began; tokens unless named otherwise. Warm-ups are not dispatches.

    `anchor_resident_tokens`: how much of the first `anchor_tokens` is in the tree. `evicted_by`: evictions that hurt
    this agent, by the agent whose allocation asked for the room, or by the cause where no agent did. `retain_tokens`:
    budget of the retain in force, 0 if there is none; `retain_until_ns`: when its bias will have decayed.
    `anchor_hurt`: those of `evictions_that_hurt` that took tokens of its anchor; `tools`: calls by tool, some of them.
    """

    agent: str
    label: str = ""
    declared: bool = False
    versions: int = 1
    claimants: int = 1
    dispatches: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    resident_tokens: int = 0
    anchor_tokens: int = 0
    anchor_resident_tokens: int = 0
    evicted_tokens: int = 0
    evictions: int = 0
    evictions_that_hurt: int = 0
    hurt_tokens: int = 0
    warmups: int = 0
    running: int = 0
    errors: int = 0
    last_seen_ns: int = 0
    ttft_recent_s: list[float] = []
    pinned: bool = False
    quarantined: bool = False
    boost: float = 0.0
    boost_until_ns: int = 0
    retain_tokens: float = 0.0
    retain_until_ns: int = 0
    evicted_by: dict[str, int] = {}
    anchor_hurt: int = 0
    tools: dict[str, int] = {}


class RequestView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request, joined over both streams by `rid`. The last few hundred are kept. `evicted_tokens`: what had to go
    for its allocation; `hurt_by`: whose request had pushed out what it computed again."""

    rid: str
    agent: str
    session: str
    arrived_ns: int = 0
    matched_ns: int = 0
    prefilled_ns: int = 0
    finished_ns: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    ttft_s: float | None = None
    latency_s: float | None = None
    status: int = 0
    finish: str = ""
    warm: bool = False
    hurt_by: str = ""
    output_tokens: int = 0
    evicted_tokens: int = 0


class Ruling(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a policy did about a request at the door, or about a tool. `status`: what it was refused with, 0 if it was
    not."""

    t_ns: int
    agent: str
    what: str
    why: str
    rid: str = ""
    status: int = 0
    held_s: float = 0.0


class Rulings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one policy did at the door: counts, seconds that those it let in again had waited, and the last few.
    `tools`: what it did about tool calls, by what it was; `saved_s`: seconds that tools, or the engine, would have
    taken. `hedges`: what became of late requests, by RequestHedged's words; `wasted_tokens`: computed twice."""

    held: int = 0
    refused: int = 0
    let_in: int = 0
    held_s: float = 0.0
    recent: list[Ruling] = []
    tools: dict[str, int] = {}
    saved_s: float = 0.0
    hedges: dict[str, int] = {}
    wasted_tokens: int = 0


class Totals(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Run totals. Tokens unless named otherwise."""

    requests: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    inserted_tokens: int = 0
    evictions: int = 0
    evicted_tokens: int = 0
    evictions_that_hurt: int = 0
    hurt_tokens: int = 0
    warmups: int = 0
    warm_tokens: int = 0
    dropped_events: int = 0
    engine_starts: int = 0
    guesses: int = 0
    guesses_right: int = 0
    oddities: int = 0


class RunState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Everything the screens show, after the events folded so far.

    `transitions`: dispatches by agent and the agent before it in the same session. `ghosts`: by owner, see
    fold.ghosts. Requests and sessions are in the order of their last use. `hurts`: the last ones, oldest first;
    `trends`: by agent, see fold.trends; `guesses`: about the next agent, by session; `rulings`: at the door, by policy.
    `policies`: which are on; `ordered`: whether the last order about one was to switch it on, which outlives a failure.
    `host`: nodes whose KV lies in host memory only, the latest of them, how many nodes lie there beyond these, with how
    many tokens, and how many fit there; 0 without a host tier.
    `blind`: the call in which the engine's observer broke, and the error; '' while it sees. Since `blind_ns` SGLang's
    own order is used, and of nodes, evictions and harm nothing is told (see sight.py). `doubted`: the tenants whose
    names of agents or sessions are not gone by, by which of the two.
    """

    t_ns: int = 0
    model: str = ""
    device: str = ""
    engine_up: bool = False
    engine_detail: str = ""
    capacity_tokens: int = 0
    page_size: int = 1
    running: int = 0
    waiting: int = 0
    used_tokens: int = 0
    policies: dict[str, bool] = {}
    ordered: dict[str, bool] = {}
    tunables: dict[str, dict[str, float]] = {}
    nodes: dict[int, NodeView] = {}
    agents: dict[str, AgentStats] = {}
    requests: dict[str, RequestView] = {}
    transitions: dict[str, dict[str, int]] = {}
    session_agent: dict[str, str] = {}
    ghosts: dict[str, list[Ghost]] = {}
    hurts: list[Hurt] = []
    trends: dict[str, list[Moment]] = {}
    guesses: dict[str, Guesses] = {}
    rulings: dict[str, Rulings] = {}
    host: dict[int, NodeView] = {}
    host_beyond: int = 0
    host_beyond_tokens: int = 0
    host_capacity_tokens: int = 0
    replicas: int = 1
    blind: str = ""
    blind_ns: int = 0
    doubted: dict[str, list[str]] = {}
    totals: Totals = msgspec.field(default_factory=Totals)
