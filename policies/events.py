"""Every fact the system knows, once: the struct a policy observes is the struct that is recorded and published.

Rules: past tense; units in names; frozen; fields are only ever added, always with a default, so an old reader skips
what it does not know and a new reader opens old recordings. `t_ns` is UTC nanoseconds taken from a monotonic clock
anchored once at start, so a wall clock that jumps does not reorder anything.

Two streams meet in the daemon. The *engine stream* (EngineEvent) is what happened inside SGLang's scheduler, in the
order it happened; policies observe only this stream, wherever they run, which is what makes a replay exact. The
*front stream* (FrontEvent) is what callers saw. Facts the front learns and policies need (ToolCalled, SessionEnded,
TunableChanged ...) are sent into the engine and come back as part of the engine stream.

`step`, where an engine fact has it: how many batches the scheduler had made room for by then, counted from 1 (0: it was
not told). A batch prefills those who were matched since the last one, or whose prompt was cut short then; any other
decodes one token of each request under way. So a replay knows the room taken, and the place of every eviction, without
an event for each batch.

Over 300 lines because it is the vocabulary: whoever looks up a fact finds all of them in one list.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["anchor", "shared", "private", "unowned"]
"""What a cache node holds: one agent's anchor; a prefix several agents share; one session's history; nobody's."""

Part = Literal["", "output", "old", "old_32", "old_128", "old_512"]
"""Which part of it: what the last prompt of its agent holds; an output that no prompt repeated yet; what later prompts
passed by, of what sessions have in common so many at least (see policies.parts)."""

Cause = Literal["allocation", "operator", "policy", "flush"]
FinishReason = Literal["stop", "length", "tool_calls", "abort", "error", "unknown"]
ActionKind = Literal["warm", "pin", "unpin", "retain", "evict", "boost", "quarantine", "release"]

NO_NODE = -1
"""Node id that stands for 'no node' (the tree's root is a real node)."""

HOST = "host"
"""Who switches a policy where nobody ordered it: it lost its slot to another one, or got it back."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", omit_defaults=True):
    """A fact. `t_ns`: when it happened, UTC nanoseconds."""

    t_ns: int


# ---- front stream: what callers asked and got -----------------------------------------------------------------------


class RequestArrived(Event, frozen=True, kw_only=True, tag="request_arrived"):
    """A caller's request passed identity and was forwarded. `declared`: the caller named the agent itself."""

    rid: str
    agent: str
    session: str
    tenant: str = "default"
    route: str = ""
    stream: bool = False
    body_bytes: int = 0
    declared: bool = False


class RequestRefused(Event, frozen=True, kw_only=True, tag="request_refused"):
    """A request got an error from the daemon itself (bad input, quarantine, engine away). `status`: HTTP status;
    `by`: the policy that refused it, '' if none did."""

    rid: str
    agent: str
    status: int
    reason: str
    by: str = ""


class RequestHeld(Event, frozen=True, kw_only=True, tag="request_held"):
    """Policy `by` holds a request at the door, before it is forwarded."""

    rid: str
    agent: str
    session: str
    by: str
    why: str
    tenant: str = "default"


class RequestAdmitted(Event, frozen=True, kw_only=True, tag="request_admitted"):
    """A request that a policy had held, or changed, was let in. `by`: the policy that held it last, or the one that cut
    what may be written. Others are let in without a word."""

    rid: str
    agent: str
    session: str
    by: str
    why: str
    held_s: float = 0.0


class RequestHedged(Event, frozen=True, kw_only=True, tag="request_hedged"):
    """A request's answer had not begun after `waited_s`, and policy `by` had it sent to a second `engine` (its URL).

    won: that one's answer began first, the first engine's was cancelled; lost: the other way round; failed: the second
    gave an error; left: the caller went away before either began; kept: it was not sent after all (`why`). `answer_s`:
    from sending it first until an answer began; `saved_s`: about how much longer the first engine would have taken;
    `wasted_tokens`: computed twice, at most (the whole prompt, if the one that was cancelled had done with it).
    """

    rid: str
    agent: str
    session: str
    by: str
    why: str
    what: Literal["won", "lost", "failed", "left", "kept"]
    waited_s: float
    engine: str = ""
    answer_s: float = 0.0
    saved_s: float = 0.0
    wasted_tokens: int = 0


class ReplicaChecked(Event, frozen=True, kw_only=True, tag="replica_checked"):
    """Whether a second engine can be used, whenever that changes. `url`: '' if none is configured; `detail`: what it
    serves, or what is wrong with it; `by`: the policy that would use it."""

    url: str
    ok: bool
    detail: str
    by: str = "hedging"


class RulesRead(Event, frozen=True, kw_only=True, tag="rules_read"):
    """A policy's file of rules was read. `ok`: they hold from now on, else the former ones still do; `detail`: what is
    wrong with them, with key and line."""

    policy: str
    path: str
    ok: bool
    detail: str = ""


class ToolMemoized(Event, frozen=True, kw_only=True, tag="tool_memoized"):
    """What policy `by` did about a call of a tool, or found out about the tool.

    answered: from memory (`saved_s`: what the tool took for it last); joined: it got the result of the same call that
    was under way; asked: the tool itself was asked (`why`: what kept memory from answering); stored, confirmed,
    refused: its result is kept, agrees with the one kept, is not kept; invalidated: it changes things, `results` are
    forgotten; unsettled: it changes things and nobody will know when it is over; off: the tool is not answered any
    more; proposed: it would be worth declaring; worth: what answering it would have saved. early: the tool is asked
    before anybody asks, since the call will likely come (`why`); early_used: it came and got that result (`saved_s`:
    that much less of a wait); early_checked: it came and went to the tool all the same; early_wasted: it did not come,
    or there was no result. forbidden: the call is not made, since policy `by` does not allow it (`why`). Arguments and
    results are never told.
    """

    tool: str
    what: Literal[
        "answered", "joined", "asked", "stored", "confirmed", "refused", "invalidated", "unsettled", "off", "proposed",
        "worth", "early", "early_used", "early_checked", "early_wasted", "forbidden",
    ]  # fmt: skip
    agent: str = ""
    session: str = ""
    tenant: str = "default"
    by: str = "memoization"
    why: str = ""
    saved_s: float = 0.0
    results: int = 0
    calls: int = 0


class FirstTokenSent(Event, frozen=True, kw_only=True, tag="first_token_sent"):
    """The first content byte of a streamed answer left for the caller. `ttft_s`: since arrival, seconds."""

    rid: str
    ttft_s: float


class RequestFinished(Event, frozen=True, kw_only=True, tag="request_finished"):
    """The caller has the whole answer, or an error, or went away (`finish` = abort)."""

    rid: str
    agent: str
    session: str
    status: int
    finish: FinishReason
    latency_s: float
    ttft_s: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    streamed: bool = False


class AgentSeen(Event, frozen=True, kw_only=True, tag="agent_seen"):
    """An agent is new, or something about its identity changed.

    `fingerprint`: hash of its system messages and tools; `versions`: how many fingerprints this agent has had (a
    prompt written per task has one per session); `claimants`: how many declared names share this fingerprint.
    """

    agent: str
    label: str
    fingerprint: str
    declared: bool
    versions: int = 1
    claimants: int = 1


class NamesDoubted(Event, frozen=True, kw_only=True, tag="names_doubted"):
    """What a tenant's callers call their agents, or their sessions, is not gone by any more, or is again (`doubted`
    false). `held`: the share of the last names that agreed with what was sent under them."""

    tenant: str
    what: Literal["agents", "sessions"]
    doubted: bool
    held: float = 0.0


# ---- engine stream: what happened in SGLang's scheduler, in order ----------------------------------------------------


class EngineStarted(Event, frozen=True, kw_only=True, tag="engine_started"):
    """The scheduler built our cache. `capacity_tokens`: size of the KV pool; `policy`: eviction policy in force;
    `host_capacity_tokens`: how much fits in the host tier below it (HiCache), 0 without one; `replicas`: how many
    data-parallel replicas SGLang spreads requests over, each with a pool of that size. Only the first of them is seen:
    no other fact of the engine stream tells of what the others do."""

    pid: int
    model: str
    capacity_tokens: int
    page_size: int
    policy: str
    device: str = "cpu"
    bytes_per_token: int = 0
    sglang: str = ""
    host_capacity_tokens: int = 0
    replicas: int = 1


class EngineLost(Event, frozen=True, kw_only=True, tag="engine_lost"):
    """A process of the engine died or stopped answering. The KV cache is gone with it."""

    reason: str
    retry_in_s: float


class PrefixMatched(Event, frozen=True, kw_only=True, tag="prefix_matched"):
    """A request was looked up in the radix tree for its prefill: the dispatch, as policies see it.

    `cached_tokens`: prefix found on the device; `node`: deepest node of that prefix. `anchor_tokens`: how many leading
    tokens are the agent's anchor, 0 if not known yet. The prompt itself is kept as prefix hashes: the first
    `base_tokens` equal those of request `base_rid`'s prompt + output, the rest is `tail` (4 bytes per token, little
    endian), so two prompts share exactly as many tokens as their hash sequences share leading values. `refused`: the
    steps at which it was looked up before and found no room (the last 32): each look-up was a use of its prefix.
    """

    rid: str
    agent: str
    session: str
    tenant: str = "default"
    prompt_tokens: int
    cached_tokens: int
    host_tokens: int = 0
    anchor_tokens: int = 0
    node: int = NO_NODE
    warm: bool = False
    base_rid: str = ""
    base_tokens: int = 0
    tail: bytes = b""
    step: int = 0
    refused: tuple[int, ...] = ()


class PrefixInserted(Event, frozen=True, kw_only=True, tag="prefix_inserted"):
    """KV of a request entered the tree: `phase` 'prompt' after prefill (or a chunk of it), 'finish' with its output.

    `total_tokens`: length of the inserted path; `new_tokens`: how many of them were not in the tree. At 'finish',
    `output` holds the prefix hashes after the prompt (4 bytes per token).
    """

    rid: str
    phase: Literal["prompt", "finish"]
    total_tokens: int
    new_tokens: int
    node: int = NO_NODE
    output: bytes = b""
    step: int = 0


class NodeAdded(Event, frozen=True, kw_only=True, tag="node_added"):
    """A leaf was added. `start`: depth of its first token from the root, in tokens. `from_host`: it is a node that lay
    in host memory only, and is on the device again."""

    node: int
    parent: int
    start: int
    tokens: int
    agent: str = ""
    session: str = ""
    role: Role = "unowned"
    rid: str = ""
    part: Part = ""
    from_host: bool = False


class NodeSplit(Event, frozen=True, kw_only=True, tag="node_split"):
    """`node` kept its tail and its id; its first `upper_tokens` tokens became the new node `upper` above it."""

    node: int
    upper: int
    upper_tokens: int


class NodeOwned(Event, frozen=True, kw_only=True, tag="node_owned"):
    """A node's owners, role or part changed: the whole new set. `agents` is sorted."""

    node: int
    agents: tuple[str, ...]
    role: Role
    session: str = ""
    part: Part = ""


class NodeEvicted(Event, frozen=True, kw_only=True, tag="node_evicted"):
    """A node left the device, why, for whom, and what would have gone under plain LRU instead.

    `by_rid`, `by_agent`: the request whose allocation needed the room. `score` and `parts`: the policy's, at that
    moment. `instead`: the LRU victim at that moment if another one (`instead_agent` its owner), else NO_NODE. `part`:
    'old' or alike if later prompts passed it by.
    """

    node: int
    tokens: int
    start: int
    agents: tuple[str, ...] = ()
    role: Role = "unowned"
    session: str = ""
    cause: Cause = "allocation"
    by_rid: str = ""
    by_agent: str = ""
    score: float = 0.0
    parts: dict[str, float] = {}
    idle_s: float = 0.0
    instead: int = NO_NODE
    instead_agent: str = ""
    to_host: bool = False
    part: Part = ""


class HostNodeKept(Event, frozen=True, kw_only=True, tag="host_node_kept"):
    """A node whose KV lies in host memory only, as it is now: both parts of one that was split there, one whose owners
    or role changed, one that was read from a store, and every one where the tree is told anew. `had_tokens`: how many
    it had there before this, 0 if it is told of there for the first time. That a node went there says NodeEvicted
    (`to_host`), that it is back NodeAdded."""

    node: int
    parent: int
    start: int
    tokens: int
    agents: tuple[str, ...] = ()
    role: Role = "unowned"
    session: str = ""
    part: Part = ""
    had_tokens: int = 0


class HostNodeLeft(Event, frozen=True, kw_only=True, tag="host_node_left"):
    """A node whose KV lay in host memory only is nowhere any more."""

    node: int
    tokens: int


class CacheFlushed(Event, frozen=True, kw_only=True, tag="cache_flushed"):
    """The whole tree was reset (SGLang's flush_cache). `told_anew`: nothing is lost, and what is there follows."""

    told_anew: bool = False


class EngineLoadSampled(Event, frozen=True, kw_only=True, tag="engine_load_sampled"):
    """Once a second while anything runs, and once when it stops. Tokens of the KV pool and requests.

    `used_tokens`: all that are not free; `evictable_tokens`: those of them that are cached and held by no request.
    """

    running: int
    waiting: int
    used_tokens: int
    evictable_tokens: int
    capacity_tokens: int
    step: int = 0


class ToolCalled(Event, frozen=True, kw_only=True, tag="tool_called"):
    """A response ended in tool calls (the finish signal: this agent will most likely be back)."""

    rid: str
    agent: str
    session: str
    tools: tuple[str, ...] = ()
    step: int = 0


class AnswerGiven(Event, frozen=True, kw_only=True, tag="answer_given"):
    """A response ended in a final message, an abort or an error: the other value of the finish signal. `closes`: the
    answer says by its last word that the task is over; the session is likely to end, but may go on."""

    rid: str
    agent: str
    session: str
    finish: FinishReason = "stop"
    step: int = 0
    closes: bool = False


class SessionEnded(Event, frozen=True, kw_only=True, tag="session_ended"):
    """A caller said that a session is over, or it was idle for too long."""

    session: str
    reason: str = "declared"
    step: int = 0


class NextAgentHinted(Event, frozen=True, kw_only=True, tag="next_agent_hinted"):
    """A caller that knows its workflow said which agent the session dispatches next."""

    session: str
    agent: str
    rid: str = ""


class AnchorMeasured(Event, frozen=True, kw_only=True, tag="anchor_measured"):
    """An agent's anchor length is known. `exact`: from rendering; otherwise learned from what its sessions share, 0
    tokens if they share too little any more. `rid`: the request that told of it, after its look-up and before its
    PrefixMatched; '' if the daemon did, at any time; None in older recordings, which do not say."""

    agent: str
    tokens: int
    exact: bool = True
    step: int = 0
    rid: str | None = None


class PolicySwitched(Event, frozen=True, kw_only=True, tag="policy_switched"):
    """A policy is on or off from here on. `by`: who ordered it, or HOST."""

    policy: str
    enabled: bool
    by: str = "operator"
    why: str = ""


class TunableChanged(Event, frozen=True, kw_only=True, tag="tunable_changed"):
    policy: str
    name: str
    value: float
    by: str = "operator"
    why: str = ""


class ActionTaken(Event, frozen=True, kw_only=True, tag="action_taken"):
    """An action of a policy or the operator was carried out or refused. `tokens`: how many it touched."""

    id: str
    kind: ActionKind
    agent: str = ""
    node: int = NO_NODE
    amount: float = 0.0
    ttl_s: float = 0.0
    by: str = "operator"
    why: str = ""
    ok: bool = True
    result: str = ""
    tokens: int = 0
    session: str = ""
    step: int = 0


class PolicyFailed(Event, frozen=True, kw_only=True, tag="policy_failed"):
    """A policy raised; it is off until switched on again and SGLang's own order (LRU) is used in its place."""

    policy: str
    call: str
    error: str


class EventsDropped(Event, frozen=True, kw_only=True, tag="events_dropped"):
    """The link was full or broken: `count` events are missing here. Readers resync from the next keyframe."""

    count: int


class CommandReceived(Event, frozen=True, kw_only=True, tag="command_received"):
    """A command came in over MQTT or the command line, with what became of it."""

    id: str
    name: str
    by: str
    ok: bool
    detail: str = ""
    arguments: dict[str, Any] = {}


EngineEvent = (
    EngineStarted
    | PrefixMatched
    | PrefixInserted
    | NodeAdded
    | NodeSplit
    | NodeOwned
    | NodeEvicted
    | HostNodeKept
    | HostNodeLeft
    | CacheFlushed
    | EngineLoadSampled
    | ToolCalled
    | AnswerGiven
    | SessionEnded
    | NextAgentHinted
    | AnchorMeasured
    | PolicySwitched
    | TunableChanged
    | ActionTaken
    | PolicyFailed
    | EventsDropped
)
FrontEvent = (
    RequestArrived
    | RequestRefused
    | RequestHeld
    | RequestAdmitted
    | RequestHedged
    | ReplicaChecked
    | RulesRead
    | ToolMemoized
    | FirstTokenSent
    | RequestFinished
    | AgentSeen
    | NamesDoubted
    | EngineLost
    | CommandReceived
)
AnyEvent = EngineEvent | FrontEvent

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)
_many = msgspec.json.Decoder(list[msgspec.Raw])


def encode(event: AnyEvent) -> bytes:
    """One event as JSON, tagged with `k`; bytes fields are base64."""
    return _encoder.encode(event)


def decode(data: bytes | msgspec.Raw) -> AnyEvent:
    """The inverse of `encode`. Raises msgspec.ValidationError naming the field, or DecodeError."""
    return _decoder.decode(data)


def decode_known(data: bytes) -> tuple[list[AnyEvent], int]:
    """A JSON array of events, and how many in it were of a kind or shape this version does not know (skipped)."""
    events: list[AnyEvent] = []
    unknown = 0
    for raw in _many.decode(data):
        try:
            events.append(decode(raw))
        except msgspec.ValidationError:
            unknown += 1
    return events, unknown


def kind_of(event: Event) -> str:
    """The wire tag of an event, such as 'node_evicted'."""
    return str(event.__struct_config__.tag)


KINDS: dict[str, type[Event]] = {str(c.__struct_config__.tag): c for c in Event.__subclasses__()}
