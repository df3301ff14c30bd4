"""Each event as one human sentence with its cause. Pure: the same event and state give the same words anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from radixdeck.policies import events as e
from radixdeck.policies.fold.door import HEDGES
from radixdeck.policies.residency import RunState
from radixdeck.policies.tree.sight import NAME as THIS_LAYER
from radixdeck.policies.tree.sight import blinds, why_blind

from .holders import holder
from .identity_sentences import agent_seen, names_doubted
from .words import brief_id, count, parts, ratio, seconds, signed, tokens

Writer = Callable[[Any, RunState], str]


def sentence(event: e.AnyEvent, run: RunState) -> str:
    """The event in words. `run` is the folded state, used for the names of requests and nodes; it may be empty.

    An event of a kind that this version has no words for is named by its kind rather than refused.
    """
    writer = WRITERS.get(type(event))
    return writer(event, run) if writer else e.kind_of(event).replace("_", " ")


def _request(rid: str) -> str:
    return f"request {brief_id(rid)}"


def _asker(rid: str, run: RunState) -> str:
    """'coder's request r12', or only the request where the agent is not known any more."""
    view = run.requests.get(rid)
    return f"{view.agent}'s {_request(rid)}" if view and view.agent else _request(rid)


def _node(node: int, run: RunState) -> str:
    view = run.nodes.get(node)
    return f"node {node} ({holder(view.role, view.agents, view.session)})" if view else f"node {node}"


def _why(why: str) -> str:
    return f": {why}" if why else ""


def _request_arrived(event: e.RequestArrived, run: RunState) -> str:
    how = "" if event.declared else " (agent inferred)"
    return f"{event.agent} asks in {event.session or 'no session'}: {_request(event.rid)}{how}"


def _request_refused(event: e.RequestRefused, run: RunState) -> str:
    whose = event.agent or "an unknown agent"
    by = f" by {event.by}" if event.by else ""
    return f"{_request(event.rid)} of {whose} refused{by} with {event.status}: {event.reason}"


def _request_held(event: e.RequestHeld, run: RunState) -> str:
    return f"{event.by} holds {event.agent}'s {_request(event.rid)} at the door{_why(event.why)}"


def _request_admitted(event: e.RequestAdmitted, run: RunState) -> str:
    waited = f" after {seconds(event.held_s)}" if event.held_s else ""
    return f"{event.by} lets {event.agent}'s {_request(event.rid)} in{waited}{_why(event.why)}"


def _request_hedged(event: e.RequestHedged, run: RunState) -> str:
    saved = f", about {seconds(event.saved_s)} saved" if event.saved_s else ""
    twice = f", at most {tokens(event.wasted_tokens)} computed twice" if event.wasted_tokens else ""
    whose = f"{event.agent}'s {_request(event.rid)}"
    return f"{event.by}: {whose} {HEDGES.get(event.what, event.what)}{saved}{twice}{_why(event.why)}"


def _replica_checked(event: e.ReplicaChecked, run: RunState) -> str:
    found = f"engine {event.url} {'can' if event.ok else 'cannot'} be used" if event.url else "no second engine"
    return f"{event.by}: {found}{_why(event.detail)}"


def _rules_read(event: e.RulesRead, run: RunState) -> str:
    outcome = "hold from now on" if event.ok else "cannot be used, the former ones hold"
    return f"rules of {event.policy} in {event.path} {outcome}{_why(event.detail)}"


def _tool_memoized(event: e.ToolMemoized, run: RunState) -> str:
    whose = f" of {event.agent}" if event.agent else ""
    more = f" ({count(event.results, 'result')})" if event.results else ""
    more += f", {seconds(event.saved_s)} saved" if event.saved_s else ""
    return f"{event.by}: tool {event.tool}{whose} {event.what}{more}{_why(event.why)}"


def _first_token_sent(event: e.FirstTokenSent, run: RunState) -> str:
    return f"first token for {_asker(event.rid, run)} after {seconds(event.ttft_s)}"


def _request_finished(event: e.RequestFinished, run: RunState) -> str:
    size = f", {tokens(event.output_tokens)} written" if event.output_tokens is not None else ""
    end = event.finish if event.status == 200 else f"{event.finish}, status {event.status}"
    return f"{event.agent}'s {_request(event.rid)} finished ({end}) in {seconds(event.latency_s)}{size}"


def _engine_started(event: e.EngineStarted, run: RunState) -> str:
    pool = tokens(event.capacity_tokens)
    seen = f"; of its {event.replicas} data-parallel replicas only the first is seen" if event.replicas > 1 else ""
    return f"engine started: {event.model} on {event.device}, KV pool of {pool}, eviction by {event.policy}{seen}"


def _engine_lost(event: e.EngineLost, run: RunState) -> str:
    return f"engine lost ({event.reason}); its cache is gone; next try in {seconds(event.retry_in_s)}"


def _prefix_matched(event: e.PrefixMatched, run: RunState) -> str:
    what = "warm-up for" if event.warm else "dispatch of"
    host = f" and {tokens(event.host_tokens)} on the host" if event.host_tokens else ""
    share = ratio(event.cached_tokens, event.prompt_tokens)
    return (
        f"{what} {event.agent}: {event.cached_tokens:,} of {tokens(event.prompt_tokens)} cached ({share}){host}, "
        f"{_request(event.rid)}"
    )


def _prefix_inserted(event: e.PrefixInserted, run: RunState) -> str:
    what = "prompt" if event.phase == "prompt" else "prompt and answer"
    return f"{what} of {_asker(event.rid, run)} cached: {event.new_tokens:,} new of {tokens(event.total_tokens)}"


def _node_added(event: e.NodeAdded, run: RunState) -> str:
    owners = (event.agent,) if event.agent else ()
    cause = f" for {_request(event.rid)}" if event.rid else ""
    came = "back from host memory" if event.from_host else "added"
    return (
        f"node {event.node} {came} at depth {event.start:,}: {tokens(event.tokens)}, "
        f"{holder(event.role, owners, event.session)}{cause}"
    )


def _node_split(event: e.NodeSplit, run: RunState) -> str:
    return f"{_node(event.node, run)} split: its first {tokens(event.upper_tokens)} are now node {event.upper}"


def _node_owned(event: e.NodeOwned, run: RunState) -> str:
    return f"node {event.node} is now {holder(event.role, event.agents, event.session)}"


def _node_evicted(event: e.NodeEvicted, run: RunState) -> str:
    what = holder(event.role, event.agents, event.session)
    where = "moved to host memory" if event.to_host else "evicted"
    return f"{what} ({event.tokens:,} tok) {where} {_evicted_for(event)}{_evicted_how(event)}"


def _evicted_for(event: e.NodeEvicted) -> str:
    if event.cause == "operator":
        return "on the operator's order"
    if event.cause == "policy":
        return "on a policy's wish"
    if event.cause == "flush":
        return "by a flush"
    if event.by_agent:
        return f"for {event.by_agent}'s {_request(event.by_rid)}" if event.by_rid else f"for {event.by_agent}"
    return f"for {_request(event.by_rid)}" if event.by_rid else "to make room"


def _evicted_how(event: e.NodeEvicted) -> str:
    if event.cause != "allocation":
        return ""
    how = [f"idle {seconds(event.idle_s)}"]
    if event.parts:
        how.insert(0, f"score {event.score:.3g}: {parts(event.parts)}")
    if event.instead != e.NO_NODE:
        whose = f"{event.instead_agent}'s" if event.instead_agent else "nobody's"
        how.append(f"LRU would have taken {whose} node {event.instead}")
    return f" ({'; '.join(how)})"


def _host_node_kept(event: e.HostNodeKept, run: RunState) -> str:
    what = holder(event.role, event.agents, event.session)
    return f"{what} ({tokens(event.tokens)}, node {event.node}) lies in host memory only"


def _host_node_left(event: e.HostNodeLeft, run: RunState) -> str:
    return f"node {event.node} ({tokens(event.tokens)}) left host memory: it would be computed again"


def _cache_flushed(event: e.CacheFlushed, run: RunState) -> str:
    return "the whole cache is told anew" if event.told_anew else "the whole cache was flushed"


def _engine_load_sampled(event: e.EngineLoadSampled, run: RunState) -> str:
    used = ratio(event.used_tokens, event.capacity_tokens)
    load = f"{event.running} running, {event.waiting} waiting"
    return f"load: {load}, KV {used} used, {tokens(event.evictable_tokens)} evictable"


def _tool_called(event: e.ToolCalled, run: RunState) -> str:
    named = f" {', '.join(event.tools)}" if event.tools else " a tool"
    return f"{event.agent} calls{named} in {event.session or 'no session'}: it will most likely be back"


def _answer_given(event: e.AnswerGiven, run: RunState) -> str:
    over = ", which says that its task is over" if event.closes else ""
    return f"{event.agent} gave its answer in {event.session or 'no session'} ({event.finish}){over}"


def _session_ended(event: e.SessionEnded, run: RunState) -> str:
    return f"session {event.session} ended ({event.reason})"


def _next_agent_hinted(event: e.NextAgentHinted, run: RunState) -> str:
    return f"session {event.session} was said to go on with {event.agent}"


def _anchor_measured(event: e.AnchorMeasured, run: RunState) -> str:
    if not event.tokens:
        return f"{event.agent} has no anchor any more: its sessions share too little"
    how = "from rendering" if event.exact else "learned from what its sessions share"
    return f"anchor of {event.agent} is {tokens(event.tokens)} ({how})"


def _policy_switched(event: e.PolicySwitched, run: RunState) -> str:
    return f"policy {event.policy} switched {'on' if event.enabled else 'off'} by {event.by}{_why(event.why)}"


def _tunable_changed(event: e.TunableChanged, run: RunState) -> str:
    return f"{event.policy}.{event.name} set to {event.value:g} by {event.by}{_why(event.why)}"


def _action_taken(event: e.ActionTaken, run: RunState) -> str:
    target = event.agent or (_node(event.node, run) if event.node != e.NO_NODE else "the cache")
    amount = f" by {signed(event.amount)}" if event.kind == "boost" else ""
    time = f" for {seconds(event.ttl_s)}" if event.ttl_s else ""
    if not event.ok:
        return f"{event.kind} {target}, asked by {event.by}, was refused: {event.result or 'no reason given'}"
    touched = f", {tokens(event.tokens)}" if event.tokens else ""
    return f"{event.by}: {event.kind} {target}{amount}{time}{touched}{_why(event.why or event.result)}"


def _policy_failed(event: e.PolicyFailed, run: RunState) -> str:
    if blinds(event):
        told = "SGLang's own order is used and nothing of its tree is told"
        return f"{why_blind(event.call)}, {told}: {event.error}"
    if event.policy == THIS_LAYER:
        return f"radixdeck failed in {event.call}, this once: {event.error}"
    return f"policy {event.policy} failed in {event.call} and is off, plain LRU instead: {event.error}"


def _events_dropped(event: e.EventsDropped, run: RunState) -> str:
    return f"{count(event.count, 'event')} missing here: the link was full or broken"


def _command_received(event: e.CommandReceived, run: RunState) -> str:
    what = " ".join([event.name, *(f"{key}={value}" for key, value in event.arguments.items())])
    outcome = event.detail or ("done" if event.ok else "no reason given")
    return f"{event.by} ordered {what}: {'' if event.ok else 'refused, '}{outcome}"


WRITERS: dict[type[e.Event], Writer] = {
    e.RequestArrived: _request_arrived,
    e.RequestRefused: _request_refused,
    e.RequestHeld: _request_held,
    e.RequestAdmitted: _request_admitted,
    e.RulesRead: _rules_read,
    e.RequestHedged: _request_hedged,
    e.ReplicaChecked: _replica_checked,
    e.ToolMemoized: _tool_memoized,
    e.FirstTokenSent: _first_token_sent,
    e.RequestFinished: _request_finished,
    e.AgentSeen: agent_seen,
    e.NamesDoubted: names_doubted,
    e.EngineStarted: _engine_started,
    e.EngineLost: _engine_lost,
    e.PrefixMatched: _prefix_matched,
    e.PrefixInserted: _prefix_inserted,
    e.NodeAdded: _node_added,
    e.NodeSplit: _node_split,
    e.NodeOwned: _node_owned,
    e.NodeEvicted: _node_evicted,
    e.HostNodeKept: _host_node_kept,
    e.HostNodeLeft: _host_node_left,
    e.CacheFlushed: _cache_flushed,
    e.EngineLoadSampled: _engine_load_sampled,
    e.ToolCalled: _tool_called,
    e.AnswerGiven: _answer_given,
    e.SessionEnded: _session_ended,
    e.NextAgentHinted: _next_agent_hinted,
    e.AnchorMeasured: _anchor_measured,
    e.PolicySwitched: _policy_switched,
    e.TunableChanged: _tunable_changed,
    e.ActionTaken: _action_taken,
    e.PolicyFailed: _policy_failed,
    e.EventsDropped: _events_dropped,
    e.CommandReceived: _command_received,
}
