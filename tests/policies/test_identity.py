"""Who is asking: declared names win, undeclared requests of the same agent agree with them, nothing grows for ever."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.identity.identities import Identities, IdentityError, TenantMismatch, Who
from radixdeck.policies.identity.prompts import (
    COMPLETIONS_ROUTE,
    GENERATE_ROUTE,
    HEAD_ROLES,
    MESSAGES_ROUTE,
    RESPONSES_ROUTE,
    head_messages,
    read_prompt,
)

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}


def chat(system: str, *turns: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
    return {
        "model": "m",
        "messages": [{"role": "system", "content": system}, *messages] if system else messages,
        **more,
    }


@given(st.lists(st.one_of(st.integers(-3, 0x110003), st.sampled_from([0xFEFF, 0xFFFE0000, 0xD800, 0xDFFF, 1 << 40]))))
def test_token_ids_are_read_one_character_each(told: list[int]) -> None:
    prompt = read_prompt(GENERATE_ROUTE, {"input_ids": told})
    assert (prompt.raw, prompt.kind) == ("".join([chr(i % 0x110000) for i in told]), "ids" if told else "")


@pytest.mark.parametrize("told", [[1, True], [1, 2.0], [1, "2"], [1, None], [True]])
def test_what_is_no_list_of_token_ids_is_no_prompt(told: list[Any]) -> None:
    assert read_prompt(GENERATE_ROUTE, {"input_ids": told}).kind == ""


def test_token_ids_are_not_gone_through_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list(range(150_000))
    expected = "".join(map(chr, told))
    monkeypatch.setattr(builtins, "chr", None)
    assert read_prompt(GENERATE_ROUTE, {"input_ids": told}).raw == expected


def ask(ids: Identities, body: dict[str, Any], now_s: float = 0.0, route: str = CHAT, **headers: str) -> Who:
    return ids.identify({k.replace("_", "-"): v for k, v in headers.items()}, route, body, None, now_s)


def test_names_come_from_the_first_place_that_has_one() -> None:
    ids = Identities()
    baggage = "gen_ai.agent.name=by%20baggage;p=1, gen_ai.conversation.id=c1, junk"
    body = chat("You plan.", "hi", metadata={"agent_id": "by body", "session_id": "s-body"}, user="u", session_id="s2")
    assert ask(ids, body, x_agent_id=" by header ", x_session_id="s1").agent == "by header"
    who = ask(ids, body, baggage=baggage)
    assert (who.agent, who.session, who.declared) == ("by body", "s-body", True)
    who = ask(ids, chat("You plan.", "hi"), baggage=baggage)
    assert (who.agent, who.session) == ("by baggage", "c1")
    assert ask(ids, chat("You plan.", "hi", session_id="s2", user="u")).session == "s2"
    assert ask(ids, chat("You plan.", "hi", prompt_cache_key="k", user="u")).session == "k"
    assert ask(ids, chat("You plan.", "hi", user="u")).session == "u"


def test_fields_that_are_not_ours_are_never_refused() -> None:
    ids = Identities()
    long, odd = "x" * 500, "a\nb"
    who = ask(ids, chat("You plan.", "hi", user=long, metadata={"agent_id": odd}))
    assert who.agent.startswith("h-")
    assert who.session.startswith("h-")
    again = ask(ids, chat("You plan.", "hi", user=long, metadata={"agent_id": odd}))
    assert (again.agent, again.session) == (who.agent, who.session)
    assert ask(ids, chat("You plan.", "hi", metadata={"agent_id": 7, "session_id": 8})).agent == "7"


@pytest.mark.parametrize("name", ["", " ", "a" * 129, "a\x00", "a\u200b", "\udcff"])
@pytest.mark.parametrize("header", ["x-agent-id", "x-session-id", "x-tenant-id"])
def test_a_header_that_cannot_be_a_name_is_refused_by_name(header: str, name: str) -> None:
    with pytest.raises(IdentityError, match=header):
        Identities().identify({header: name}, CHAT, {}, None, 0.0)


def test_tenants_are_apart_and_the_key_has_the_last_word() -> None:
    ids = Identities(tenants=frozenset({"acme"}))
    body = chat("You plan.", "hi")
    one, other = ask(ids, body, x_tenant_id="acme"), ask(ids, body)
    assert (one.agent, one.tenant) == ("acme/" + other.agent, "acme")
    assert one.session != other.session
    assert ids.identify({}, CHAT, body, "acme", 0.0).agent == one.agent
    with pytest.raises(TenantMismatch, match="x-tenant-id"):
        ids.identify({"x-tenant-id": "other"}, CHAT, body, "acme", 0.0)
    with pytest.raises(IdentityError, match="acme/"):
        ask(ids, body, x_agent_id="acme/planner")
    assert ask(ids, body, x_agent_id="crew/planner").agent == "crew/planner"


def test_the_default_tenant_cannot_name_another_tenants_session() -> None:
    ids = Identities(tenants=frozenset({"acme"}))
    acme = ask(ids, chat("You plan.", "hi"), x_tenant_id="acme", x_session_id="s1")
    assert acme.session == "acme/s1" == ids.session_name("s1", {}, "acme")
    with pytest.raises(IdentityError, match="x-session-id 'acme/s1'"):
        ask(ids, chat("You plan.", "hi"), x_session_id="acme/s1")
    for field in ("session_id", "prompt_cache_key", "user"):
        with pytest.raises(IdentityError, match="belong to tenant 'acme'"):
            ask(ids, chat("You plan.", "hi", **{field: "acme/s1"}))
    with pytest.raises(IdentityError, match="the session's name 'acme/s1'"):
        ids.session_name("acme/s1", {}, "default")
    assert ids.session_name("crew/s1", {}, "default") == "crew/s1"


def test_an_undeclared_agent_is_its_system_messages_and_tools() -> None:
    ids = Identities()
    one = ask(ids, chat("You plan.", "hi", tools=[TOOL]))
    assert one.agent == f"agent-{one.fingerprint[:12]}"
    reordered = {"function": {"parameters": {"properties": {}, "type": "object"}, "name": "search"}, "type": "function"}
    parts = [{"role": "system", "content": [{"type": "text", "text": "You plan."}]}, {"role": "user", "content": "x"}]
    assert ask(ids, {"messages": parts, "tools": [reordered]}).agent == one.agent
    assert ask(ids, chat("You plan.", "hi")).agent != one.agent
    assert ask(ids, chat("You search.", "hi", tools=[TOOL])).agent != one.agent
    assert ask(ids, chat("", "hi")).agent == "unknown"


def test_all_routes_agree_on_the_same_head() -> None:
    head = "You plan."
    messages = read_prompt(MESSAGES_ROUTE, {"system": head, "messages": [{"role": "user", "content": "hi"}]})
    blocks = read_prompt(MESSAGES_ROUTE, {"system": [{"type": "text", "text": head}], "messages": []})
    responses = read_prompt(RESPONSES_ROUTE, {"instructions": head, "input": "hi"})
    listed = read_prompt(RESPONSES_ROUTE, {"instructions": head, "input": [{"role": "user", "content": "hi"}]})
    plain = read_prompt(CHAT, chat(head, "hi"))
    assert {p.fingerprint for p in (messages, blocks, responses, listed, plain)} == {plain.fingerprint}
    assert messages.chain == responses.chain == listed.chain == plain.chain


def test_a_previous_response_is_known_to_its_own_tenant_only() -> None:
    ids = Identities()
    first = ask(ids, {"input": "hi"}, route=RESPONSES_ROUTE, x_tenant_id="acme")
    ids.answered("resp_1", first)
    following = {"input": "and now?", "previous_response_id": "resp_1"}
    assert ask(ids, following, route=RESPONSES_ROUTE, x_tenant_id="acme").session == first.session
    assert ask(ids, following, route=RESPONSES_ROUTE).session != first.session


def test_who_names_no_previous_response_goes_on_with_none() -> None:
    ids = Identities()
    ids.answered("None", ask(ids, {"input": "hi"}, route=RESPONSES_ROUTE))
    assert (
        ask(ids, {"input": "other"}, route=RESPONSES_ROUTE).session
        != ids.identify({}, RESPONSES_ROUTE, {"input": "more", "previous_response_id": "None"}, None, 0.0).session
    )


def test_who_says_nothing_joins_a_session_that_was_declared_in_another_tenant_too() -> None:
    ids = Identities()
    declared = ask(ids, chat("You plan.", "task"), x_tenant_id="acme", x_session_id="s1")
    joined = ask(ids, chat("You search.", "task"), x_tenant_id="acme")
    assert declared.session == joined.session == "acme/s1"


def test_a_declared_name_claims_its_fingerprint() -> None:
    ids = Identities()
    body = chat("You plan.", "hi")
    before = ask(ids, body)
    claimed = ask(ids, body, x_agent_id="planner")
    after = ask(ids, body)
    assert before.agent != claimed.agent == after.agent == "planner"
    assert not after.declared
    assert claimed.seen
    assert (claimed.seen.declared, claimed.seen.claimants, claimed.seen.fingerprint) == (True, 1, before.fingerprint)


def test_names_that_share_a_prompt_and_prompts_written_per_task_are_counted() -> None:
    ids = Identities()
    seen = [ask(ids, chat("You plan.", "hi"), x_agent_id=f"a{i}").seen for i in range(8)]
    assert [s.claimants for s in seen if s] == list(range(1, 9))
    assert ask(ids, chat("You plan.", "hi")).agent == "a0"
    per_task = [ask(ids, chat(f"Task {i}", "hi"), x_agent_id="worker").seen for i in range(100)]
    assert [s.versions for s in per_task if s] == [1, 2, 4, 8, 16, 32, 64]
    assert ask(ids, chat("Task 3", "hi"), x_agent_id="worker").seen is None


def test_the_label_begins_where_agents_differ() -> None:
    ids = Identities()
    common = "You are part of the Acme crew. "
    ask(ids, chat(common + "Planner: make plans for the others to follow.", "hi"))
    who = ask(ids, chat(common + "Searcher: find things\nthat others ask for.", "hi"))
    assert who.label == "Searcher: find things that others ask"
    again = ask(ids, chat(common + "Planner: make plans for the others to follow.", "hi"))
    assert again.label == "Planner: make plans for the others"
    assert again.seen
    assert again.seen.label == again.label
    assert ask(ids, chat(common + "Planner: make plans for the others to follow.", "hi")).seen is None


def test_raw_prompts_are_told_apart_by_what_they_share() -> None:
    ids = Identities()
    preamble = "<|system|> "
    planner, searcher = preamble + "You plan. " * 40, preamble + "You search. " * 40
    agents = [
        ask(ids, {"prompt": head + f"Task {i}: {'abcdefgh'[i]}"}, i, COMPLETIONS_ROUTE).agent
        for i, head in enumerate([planner, searcher, planner, searcher, planner, searcher, planner])
    ]
    assert agents[:2] == ["unknown", "unknown"]
    assert agents[2] == agents[4] == agents[6] != "unknown"
    assert agents[3] == agents[5] != agents[2]


def test_one_long_conversation_of_raw_prompts_is_not_an_anchor() -> None:
    ids = Identities()
    ask(ids, {"text": "another prompt altogether"}, 0, GENERATE_ROUTE)
    prompt, sessions = "You plan. " * 40, set[str]()
    for i in range(5):
        prompt += f"step {i}. "
        who = ask(ids, {"text": prompt}, i, GENERATE_ROUTE)
        assert who.agent == "unknown"
        sessions.add(who.session)
    assert len(sessions) == 1


def test_token_ids_have_anchors_too() -> None:
    ids = Identities()
    heads = [list(range(100)), list(range(50_000, 50_100)), list(range(100)), list(range(50_000, 50_100))]
    agents = [ask(ids, {"input_ids": [*head, i + 7, i]}, i, GENERATE_ROUTE).agent for i, head in enumerate(heads)]
    assert agents[2] != agents[3] != "unknown" != agents[2]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ["messages", "tools", "functions", "prompt", "text", "input_ids", "input", "instructions", "system", "metadata",
     "user", "session_id", "prompt_cache_key", "previous_response_id", "model"]
)  # fmt: skip
roles: st.SearchStrategy[Any] = st.sampled_from(["system", "user", "assistant", "tool", 7, ["system"], {}])
message = st.fixed_dictionaries({}, optional={"role": roles, "content": json_values, "tool_calls": json_values})
routes = st.sampled_from([CHAT, COMPLETIONS_ROUTE, GENERATE_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE, "/other"])
bodies = st.dictionaries(fields, json_values | st.lists(message | json_values, max_size=4), max_size=6)


@given(st.lists(st.tuples(routes, bodies), max_size=8), st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_body_gives_usable_names_and_the_same_ones_again(asked: list[Any], baggage: str) -> None:
    def run() -> list[Who]:
        ids = Identities(agents=4, sessions=8)
        return [ids.identify({"baggage": baggage}, r, b, None, float(i)) for i, (r, b) in enumerate(asked)]

    first = run()
    assert first == run()
    for _, body in asked:
        heads = head_messages(body.get("messages"))
        assert all(message["role"] in HEAD_ROLES for message in heads)
    for who in first:
        assert 0 < len(who.agent) <= 128
        assert who.agent.isprintable()
        assert 0 < len(who.session) <= 128
        assert who.session.isprintable()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60), st.integers(1, 5))
def test_a_bounded_map_keeps_the_most_recent(writes: list[tuple[int, int]], limit: int) -> None:
    kept: Bounded[int, int] = Bounded(limit)
    for key, value in writes:
        kept.put(key, value)
    order = list(dict.fromkeys(key for key, _ in reversed(writes)))[:limit]
    assert list(kept) == order[::-1]
    assert [kept.get(key) for key in order] == [dict(writes)[key] for key in order]
