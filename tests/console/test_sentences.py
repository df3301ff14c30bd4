"""Every kind of event has words, with its cause in them."""

from __future__ import annotations

import pytest
from scenario import folded, run_events

from radixdeck.console.sentences import WRITERS, sentence
from radixdeck.policies import events as e
from radixdeck.policies.residency import NodeView, RequestView, RunState

EMPTY = RunState()
KNOWN = RunState(
    requests={"r1": RequestView(rid="r1", agent="coder", session="s1")},
    nodes={7: NodeView(node=7, parent=0, start=0, tokens=412, agents=("planner",), role="anchor")},
)

SAID: dict[str, tuple[e.AnyEvent, str]] = {
    "request_arrived": (
        e.RequestArrived(t_ns=1, rid="r1", agent="coder", session="s1"),
        "coder asks in s1: request r1 (agent inferred)",
    ),
    "request_refused": (
        e.RequestRefused(t_ns=1, rid="r1", agent="coder", status=403, reason="quarantined"),
        "request r1 of coder refused with 403: quarantined",
    ),
    "first_token_sent": (
        e.FirstTokenSent(t_ns=1, rid="r1", ttft_s=0.0421),
        "first token for coder's request r1 after 42 ms",
    ),
    "request_finished": (
        e.RequestFinished(
            t_ns=1, rid="r1", agent="coder", session="s1", status=200, finish="stop", latency_s=1.25, output_tokens=24
        ),
        "coder's request r1 finished (stop) in 1.2 s, 24 tok written",
    ),
    "agent_seen": (
        e.AgentSeen(t_ns=1, agent="coder", label="You code", fingerprint="f", declared=False, versions=3),
        "agent coder seen (inferred from its prompt): You code; 3 versions of its prompt",
    ),
    "engine_started": (
        e.EngineStarted(t_ns=1, pid=1, model="tiny", capacity_tokens=4000, page_size=1, policy="lru"),
        "engine started: tiny on cpu, KV pool of 4,000 tok, eviction by lru",
    ),
    "engine_lost": (
        e.EngineLost(t_ns=1, reason="killed by signal 9", retry_in_s=2.0),
        "engine lost (killed by signal 9); its cache is gone; next try in 2.0 s",
    ),
    "prefix_matched": (
        e.PrefixMatched(t_ns=1, rid="r1", agent="coder", session="s1", prompt_tokens=1000, cached_tokens=640),
        "dispatch of coder: 640 of 1,000 tok cached (64 %), request r1",
    ),
    "prefix_inserted": (
        e.PrefixInserted(t_ns=1, rid="r1", phase="finish", total_tokens=1000, new_tokens=360),
        "prompt and answer of coder's request r1 cached: 360 new of 1,000 tok",
    ),
    "node_added": (
        e.NodeAdded(
            t_ns=1, node=9, parent=7, start=412, tokens=90, agent="coder", session="s1", role="private", rid="r1"
        ),
        "node 9 added at depth 412: 90 tok, history of coder in s1 for request r1",
    ),
    "node_split": (
        e.NodeSplit(t_ns=1, node=7, upper=10, upper_tokens=64),
        "node 7 (anchor of planner) split: its first 64 tok are now node 10",
    ),
    "node_owned": (
        e.NodeOwned(t_ns=1, node=7, agents=("coder", "planner"), role="shared"),
        "node 7 is now prefix shared by coder, planner",
    ),
    "node_evicted": (
        e.NodeEvicted(
            t_ns=1,
            node=7,
            tokens=412,
            start=0,
            agents=("planner",),
            role="anchor",
            by_rid="r12",
            by_agent="coder",
            score=0.02,
            parts={"survival": 0.02},
            idle_s=31.0,
            instead=4,
            instead_agent="critic",
        ),
        "anchor of planner (412 tok) evicted for coder's request r12 (score 0.02: survival 0.02; idle 31 s; LRU would "
        "have taken critic's node 4)",
    ),
    "host_node_kept": (
        e.HostNodeKept(t_ns=1, node=7, parent=0, start=0, tokens=412, agents=("planner",), role="anchor"),
        "anchor of planner (412 tok, node 7) lies in host memory only",
    ),
    "host_node_left": (
        e.HostNodeLeft(t_ns=1, node=70, tokens=412),
        "node 70 (412 tok) left host memory: it would be computed again",
    ),
    "cache_flushed": (e.CacheFlushed(t_ns=1), "the whole cache was flushed"),
    "engine_load_sampled": (
        e.EngineLoadSampled(
            t_ns=1, running=2, waiting=1, used_tokens=3000, evictable_tokens=2500, capacity_tokens=4000
        ),
        "load: 2 running, 1 waiting, KV 75 % used, 2,500 tok evictable",
    ),
    "request_held": (
        e.RequestHeld(t_ns=1, rid="r1", agent="coder", session="s1", by="fairness", why="64 requests are in flight"),
        "fairness holds coder's request r1 at the door: 64 requests are in flight",
    ),
    "request_admitted": (
        e.RequestAdmitted(t_ns=1, rid="r1", agent="coder", session="s1", by="fairness", why="its turn", held_s=2.0),
        "fairness lets coder's request r1 in after 2.0 s: its turn",
    ),
    "names_doubted": (
        e.NamesDoubted(t_ns=1, tenant="acme", what="sessions", doubted=True, held=0.2),
        "sessions of acme told by what is said from now on: names do not hold (20 % of the last agreed with prompts)",
    ),
    "rules_read": (
        e.RulesRead(t_ns=1, policy="safety", path="safety.toml", ok=False, detail="line 3: tools: no list"),
        "rules of safety in safety.toml cannot be used, the former ones hold: line 3: tools: no list",
    ),
    "request_hedged": (
        e.RequestHedged(
            t_ns=1,
            rid="r1",
            agent="coder",
            session="s1",
            by="hedging",
            why="no answer after 300 ms",
            what="won",
            waited_s=0.3,
            saved_s=2.0,
            wasted_tokens=900,
        ),
        "hedging: coder's request r1 sent to a second engine, which answered first, about 2.0 s saved, "
        "at most 900 tok computed twice: no answer after 300 ms",
    ),
    "replica_checked": (
        e.ReplicaChecked(t_ns=1, url="http://h:1", ok=False, detail="it serves 'a', not 'b'"),
        "hedging: engine http://h:1 cannot be used: it serves 'a', not 'b'",
    ),
    "tool_memoized": (
        e.ToolMemoized(t_ns=1, tool="search", what="answered", agent="coder", saved_s=2.0),
        "memoization: tool search of coder answered, 2.0 s saved",
    ),
    "tool_called": (
        e.ToolCalled(t_ns=1, rid="r1", agent="coder", session="s1", tools=("search", "run")),
        "coder calls search, run in s1: it will most likely be back",
    ),
    "answer_given": (
        e.AnswerGiven(t_ns=1, rid="r1", agent="coder", session="s1"),
        "coder gave its answer in s1 (stop)",
    ),
    "session_ended": (e.SessionEnded(t_ns=1, session="s1"), "session s1 ended (declared)"),
    "next_agent_hinted": (
        e.NextAgentHinted(t_ns=1, session="s1", agent="coder"),
        "session s1 was said to go on with coder",
    ),
    "anchor_measured": (
        e.AnchorMeasured(t_ns=1, agent="coder", tokens=520, exact=False),
        "anchor of coder is 520 tok (learned from what its sessions share)",
    ),
    "policy_switched": (
        e.PolicySwitched(t_ns=1, policy="kv_caching", enabled=True, why="trying it"),
        "policy kv_caching switched on by operator: trying it",
    ),
    "tunable_changed": (
        e.TunableChanged(t_ns=1, policy="kv_caching", name="horizon", value=2.5),
        "kv_caching.horizon set to 2.5 by operator",
    ),
    "action_taken": (
        e.ActionTaken(t_ns=1, id="a", kind="boost", agent="planner", amount=0.5, ttl_s=60, tokens=412),
        "operator: boost planner by +0.5 for 1 min 00 s, 412 tok",
    ),
    "policy_failed": (
        e.PolicyFailed(t_ns=1, policy="mine", call="score", error="ZeroDivisionError"),
        "policy mine failed in score and is off, plain LRU instead: ZeroDivisionError",
    ),
    "events_dropped": (e.EventsDropped(t_ns=1, count=1), "1 event missing here: the link was full or broken"),
    "command_received": (
        e.CommandReceived(
            t_ns=1, id="c", name="evict", by="ann", ok=False, detail="no such node", arguments={"node": 3}
        ),
        "ann ordered evict node=3: refused, no such node",
    ),
}


def test_every_kind_has_words_and_an_example() -> None:
    assert set(SAID) == set(e.KINDS)
    assert set(WRITERS) == set(e.KINDS.values())


@pytest.mark.parametrize("kind", sorted(SAID))
def test_the_words(kind: str) -> None:
    event, words = SAID[kind]
    assert e.kind_of(event) == kind
    assert sentence(event, KNOWN) == words


@pytest.mark.parametrize("kind", sorted(SAID))
def test_nothing_known_of_the_run_is_no_hindrance(kind: str) -> None:
    words = sentence(SAID[kind][0], EMPTY)
    assert words
    assert "\n" not in words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cause": "operator"}, "on the operator's order"),
        ({"cause": "flush"}, "by a flush"),
        ({"cause": "policy"}, "on a policy's wish"),
        ({"to_host": True}, "moved to host memory"),
    ],
)
def test_evictions_name_their_cause(changes: dict[str, object], words: str) -> None:
    event = e.NodeEvicted(t_ns=1, node=7, tokens=412, start=0, agents=("planner",), role="anchor", **changes)  # type: ignore[arg-type]
    assert words in sentence(event, EMPTY)


def test_an_engine_of_several_replicas_says_that_one_is_seen() -> None:
    start = e.EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=9, page_size=1, policy="lru", replicas=2)
    assert sentence(start, EMPTY).endswith("; of its 2 data-parallel replicas only the first is seen")


def test_a_refused_action_says_why() -> None:
    event = e.ActionTaken(t_ns=1, id="a", kind="warm", agent="planner", ok=False, result="anchor not known yet")
    assert sentence(event, EMPTY) == "warm planner, asked by operator, was refused: anchor not known yet"


def test_long_ids_are_cut_so_that_sentences_stay_readable() -> None:
    event = e.RequestArrived(
        t_ns=1, rid="rd-d7ca5c11503047d0976b4a982d8576be", agent="coder", session="s1", declared=True
    )
    assert sentence(event, EMPTY) == "coder asks in s1: request rd-d7ca5c11…"


def test_an_answer_that_closes_its_task_is_said_to() -> None:
    event = e.AnswerGiven(t_ns=1, rid="r1", agent="coder", session="s1", closes=True)
    assert sentence(event, EMPTY) == "coder gave its answer in s1 (stop), which says that its task is over"


def test_an_anchor_that_is_none_any_more_is_said_to_be_none() -> None:
    event = e.AnchorMeasured(t_ns=1, agent="coder", tokens=0, exact=False)
    assert sentence(event, EMPTY) == "coder has no anchor any more: its sessions share too little"


def test_a_whole_run_reads_without_a_gap() -> None:
    events = run_events()
    state = folded(events)
    assert all(sentence(event, state).strip() for event in events)
