"""Modelled streams: the same seed gives the same stream, shapes and hints are as settings say, garbage is refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from radixdeck.demos.families import FAMILIES, GARBAGE, variants
from radixdeck.demos.stream_chats import chats_stream
from radixdeck.demos.stream_spec import Call, StreamSpec
from radixdeck.demos.stream_tell import tell
from radixdeck.demos.streams import REPORT_SEEDS, TUNING_SEEDS, generate_stream, scripted
from radixdeck.demos.workloads import WorkloadError
from radixdeck.policies.events import (
    AnchorMeasured,
    AnswerGiven,
    EngineLoadSampled,
    NextAgentHinted,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
    ToolCalled,
)
from radixdeck.storage.atoms import length
from radixdeck.storage.streams import NO_REQUEST, Stream

SHORT: dict[str, Any] = {"seed": 5, "requests": 120}


def of_kind(stream: Stream, *kinds: type) -> list[Any]:
    return [event for event, _ in stream.moments if isinstance(event, kinds)]


def flat(stream: Stream) -> list[Any]:
    return [
        *((r.rid, r.agent, r.hashes.tolist(), r.start, r.inserted, r.finish) for r in stream.requests),
        *stream.moments,
    ]


@pytest.mark.parametrize("topology", ["pipeline", "debate", "selector", "random", "mixture"])
@pytest.mark.parametrize("style", ["private", "supervisor"])
def test_the_same_seed_gives_the_same_stream_and_another_seed_another(topology: Any, style: Any) -> None:
    spec = StreamSpec(seed=5, requests=60, topology=topology, style=style)
    assert flat(generate_stream(spec)) == flat(generate_stream(spec))
    assert flat(generate_stream(spec)) != flat(generate_stream(StreamSpec(seed=6, requests=60, topology=topology)))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_streams_of_the_length_asked_for(family: str) -> None:
    for variant in FAMILIES[family]:
        stream = variant.stream(5, requests=60)
        assert len(stream.requests) == len(stream.contents) == 60
        assert stream.working_set_tokens > 0
        assert not (set(TUNING_SEEDS) & set(REPORT_SEEDS))


def test_moments_are_in_order_and_every_request_comes_goes_in_and_ends() -> None:
    stream = generate_stream(StreamSpec(**SHORT))
    times = [event.t_ns for event, _ in stream.moments]
    assert times == sorted(times)
    steps: dict[int, list[Any]] = defaultdict(list)
    for event, number in stream.moments:
        if number != NO_REQUEST:
            steps[number].append(event)
    for number, request in enumerate(stream.requests):
        matched, inserted, finished = steps[number]
        assert (matched.t_ns, inserted.t_ns, finished.t_ns) == (request.start, request.inserted, request.finish)
        assert (matched.prompt_tokens, inserted.total_tokens) == (request.prompt_tokens, request.prompt_tokens)
        assert finished.total_tokens == len(request.hashes)
        assert (inserted.phase, finished.phase) == ("prompt", "finish")


def test_a_prompt_is_told_by_what_it_shares_with_an_earlier_one() -> None:
    stream = generate_stream(StreamSpec(**SHORT))
    by_rid = {request.rid: request for request in stream.requests}
    shared = 0
    for event in of_kind(stream, PrefixMatched):
        prompt = by_rid[event.rid].hashes[: event.prompt_tokens]
        assert event.tail == prompt[event.base_tokens :].tobytes()
        if event.base_rid:
            base = by_rid[event.base_rid].hashes
            assert list(base[: event.base_tokens]) == list(prompt[: event.base_tokens])
            shared += event.base_tokens
    assert shared > 0.3 * stream.prompt_tokens


def test_sessions_interleave_and_about_as_many_are_live_as_asked_for() -> None:
    calls = scripted(StreamSpec(seed=5, requests=1500, live_sessions=6))
    begun = {call.session: call.start_s for call in reversed(calls)}
    over = {call.session: call.finish_s for call in calls}
    end_s = calls[-1].start_s
    lived_s = sum(over[session] - begun[session] for session in begun)
    assert 4 < lived_s / end_s < 8
    assert sum(one.session != other.session for one, other in pairwise(calls)) > len(calls) / 2


def test_no_session_asks_again_before_it_was_answered() -> None:
    last_s: dict[str, float] = {}
    for call in scripted(StreamSpec(**SHORT)):
        assert call.start_s > last_s.get(call.session, 0.0)
        last_s[call.session] = call.finish_s


@pytest.mark.parametrize("agents", [6, 12, 24])
def test_anchors_are_of_the_stated_lengths_and_share_of_all_prompts(agents: int) -> None:
    shares: list[float] = []
    for seed in TUNING_SEEDS:
        stream = generate_stream(StreamSpec(seed=seed, requests=300, agents=agents, topology="mixture"))
        lengths = {content.agent: length(content.anchor) for content in stream.contents}
        assert len(lengths) == agents
        assert all(340 <= tokens <= 1540 for tokens in lengths.values())
        shares.append(stream.anchor_share)
    assert 0.25 < sum(shares) / 3 < 0.62


def test_in_a_private_history_an_agent_repeats_itself_and_in_a_transcript_everybody() -> None:
    for style, own_only in (("private", True), ("supervisor", False)):
        spec = StreamSpec(seed=5, requests=200, style=style, topology="random", tool_share=0, stripped_share=0)
        others = 0
        seen: dict[str, set[str]] = defaultdict(set)
        for call in scripted(spec):
            mine = {name for name, _ in call.prompt[call.anchor_atoms :] if name.startswith(("told", "said"))}
            others += bool(mine - seen[f"{call.session} {call.agent}"])
            seen[f"{call.session} {call.agent}"] |= mine | {call.output[0][0]}
        assert (others == 0) == own_only


def test_after_a_tool_call_the_same_agent_comes_back_and_it_is_told() -> None:
    spec = StreamSpec(seed=5, requests=300, tool_share=0.4)
    latest: dict[str, Call] = {}
    for call in scripted(spec):
        before = latest.get(call.session)
        assert before is None or before.next_agent == call.agent
        assert before is None or not before.tool or before.agent == call.agent
        latest[call.session] = call
    told = of_kind(generate_stream(spec), ToolCalled, AnswerGiven)
    tools = sum(isinstance(event, ToolCalled) for event in told)
    assert len(told) == 300
    assert 0.4 < tools / 300 < 0.6


@pytest.mark.parametrize("tells", [True, False])
def test_the_end_of_a_session_is_told_where_callers_say_it(tells: bool) -> None:
    stream = generate_stream(StreamSpec(tells_ends=tells, **SHORT))
    ended = [event.session for event in of_kind(stream, SessionEnded)]
    assert len(ended) == len(set(ended))
    assert bool(ended) == tells
    over = {call.session for call in scripted(StreamSpec(**SHORT)) if call.last}
    assert set(ended) == (over if tells else set())


@pytest.mark.parametrize("tells", [True, False])
def test_the_next_agent_is_told_where_callers_say_it(tells: bool) -> None:
    stream = generate_stream(StreamSpec(tells_next=tells, **SHORT))
    hinted: dict[str, str] = {}
    hits = 0
    for event, _ in stream.moments:
        if isinstance(event, NextAgentHinted):
            hinted[event.session] = event.agent
        elif isinstance(event, PrefixMatched) and event.session in hinted:
            assert hinted.pop(event.session) == event.agent
            hits += 1
    assert (hits > 60) == tells


def test_an_anchor_is_measured_after_its_first_request_and_known_from_then_on() -> None:
    stream = generate_stream(StreamSpec(**SHORT))
    tokens = {content.agent: length(content.anchor) for content in stream.contents}
    known: set[str] = set()
    for event, _ in stream.moments:
        if isinstance(event, AnchorMeasured) and event.exact:
            assert event.tokens == tokens[event.agent]
            known.add(event.agent)
        elif isinstance(event, PrefixMatched) and event.agent in known:
            assert event.anchor_tokens == tokens[event.agent]
    assert known == set(tokens)


def test_how_many_run_is_sampled_once_a_second() -> None:
    stream = generate_stream(StreamSpec(**SHORT))
    running = 0
    samples: list[int] = []
    for event, _ in stream.moments:
        match event:
            case PrefixMatched():
                running += 1
            case PrefixInserted(phase="finish"):
                running -= 1
            case EngineLoadSampled():
                assert event.running == running
                samples.append(event.t_ns)
            case _:
                pass
    assert len(samples) > 0.5 * (stream.requests[-1].start - stream.requests[0].start) / 1e9
    assert max(later - earlier for earlier, later in pairwise(samples)) < 60e9


@pytest.mark.parametrize("change", ["roster", "topology"])
def test_halfway_the_traffic_is_another_one(change: Any) -> None:
    plain = StreamSpec(seed=5, requests=400, agents=8, topology="pipeline", tool_share=0)
    changed = StreamSpec(seed=5, requests=400, agents=8, topology="pipeline", tool_share=0, change=change)
    before, after = scripted(plain), scripted(changed)
    assert before[:150] == after[:150]
    late = Counter(call.agent for call in after[300:])
    if change == "roster":
        assert {name for name in late if name.startswith("new")} == {"new1", "new3", "new5", "new7"}
        assert "agent1" not in late
    else:
        assert late.keys() <= {call.agent for call in before}
        assert before[300:] != after[300:]


def test_prompts_per_task_share_nothing_but_the_preamble_between_sessions() -> None:
    calls = scripted(StreamSpec(prompts="per_task", **SHORT))
    sessions: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        for name, _ in call.prompt:
            sessions[name].add(call.session)
    assert {name for name, where in sessions.items() if len(where) > 1} == {"preamble"}
    assert all(call.agent.endswith(f"@{call.session}") for call in calls)
    kept = {call.agent for call in scripted(StreamSpec(prompts="per_task_same_name", **SHORT))}
    assert kept == {f"agent{n}" for n in range(6)}


def test_a_team_is_a_few_of_many_and_some_are_asked_for_more_often() -> None:
    calls = scripted(StreamSpec(seed=5, requests=900, agents=200, team=6, topology="mixture", live_sessions=16))
    teams: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        teams[call.session].add(call.agent)
    assert max(map(len, teams.values())) <= 6
    counts = Counter(agent for team in teams.values() for agent in team)
    assert len(counts) > 60
    assert counts.most_common(1)[0][1] > 5 * sum(counts.values()) / len(counts)


def test_plain_chats_have_no_agents_and_extend_themselves() -> None:
    stream = chats_stream(5, requests=200)
    assert {content.agent for content in stream.contents} == {"unknown"}
    assert not of_kind(stream, ToolCalled)
    latest: dict[str, Any] = {}
    for content in stream.contents:
        before = latest.get(content.session)
        assert before is None or content.prompt[: len(before)] == before
        latest[content.session] = content.prompt + content.output
    assert {content.agent + content.session for content in chats_stream(5, requests=9, names=False).contents} == {""}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"topology": "ring"}, "topology: no 'ring'; known: 'pipeline'"),
        ({"style": "loud"}, "style: no 'loud'"),
        ({"ids": "stolen"}, "ids: no 'stolen'"),
        ({"change": "weather"}, "change: no 'weather'"),
        ({"prompts": "none"}, "prompts: no 'none'"),
        ({"requests": 0}, "requests: 0 is not above 0"),
        ({"live_sessions": -1.0}, "live_sessions"),
        ({"live_sessions": float("nan")}, "live_sessions"),
        ({"decode_tokens_per_s": 0.0}, "decode_tokens_per_s"),
        ({"agents": 0}, "agents: 0 is outside 1 to 1000"),
        ({"agents": 4, "team": 5}, "team: 5 of 4 agents"),
        ({"anchor_tokens": (900, 300)}, "anchor_tokens: 900 to 300 is not a range"),
        ({"said_tokens": (0, 10)}, "said_tokens: 0 to 10"),
        ({"tool_share": 0.9}, "tool_share: 0.9 is outside 0 to 0.5"),
        ({"stripped_share": -0.1}, "stripped_share"),
        ({"preamble_tokens": -1}, "preamble_tokens"),
    ],
)
def test_settings_that_make_no_sense_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(WorkloadError, match=named):
        generate_stream(StreamSpec(**{**SHORT, **wrong}))


def test_other_garbage_is_named_too() -> None:
    with pytest.raises(WorkloadError, match="nothing: no requests"):
        tell("nothing", [])
    with pytest.raises(WorkloadError, match="requests: 0 is not above 0"):
        chats_stream(1, requests=0)
    with pytest.raises(WorkloadError, match=f"no 'weather'; known: pipeline.*{GARBAGE}"):
        variants("weather")
