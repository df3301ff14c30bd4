"""The front tells who asks by what is sent where names do not hold."""

from __future__ import annotations

from front_harness import Stack, stack

from radixdeck.policies.events import NamesDoubted, RequestArrived


async def test_names_that_do_not_hold_are_said_once_and_not_gone_by() -> None:
    async with stack() as s:
        turns = [{"role": "user", "content": "the task"}]
        for number in range(20):
            await s.post("/v1/chat/completions", {"messages": turns}, {"x-session-id": f"request {number}"})
            turns += [{"role": "assistant", "content": "done"}, {"role": "user", "content": f"and {number}?"}]
        doubted = s.of(NamesDoubted)
        assert [(fact.tenant, fact.what, fact.doubted) for fact in doubted] == [("default", "sessions", True)]
        assert doubted[0].t_ns in {arrived.t_ns for arrived in s.of(RequestArrived)}
        sessions = [arrived.session for arrived in s.of(RequestArrived)]
        believed = len(set(sessions))
        assert 8 < believed < 18
        assert sessions[:believed] == [f"request {number}" for number in range(believed)]
        assert set(sessions[believed:]) == {sessions[believed - 1]}, "it keeps the last name that was gone by"
        async with s.client.post(s.url + "/radixdeck/sessions/request%2019/end") as answer:
            assert (await answer.json())["session"] == sessions[believed - 1]


async def test_a_quarantine_holds_for_what_an_agent_calls_itself_where_that_is_doubted() -> None:
    async with stack() as s:
        for version in ("old", "new"):
            await _ask(s, "bad", f"the {version} prompt", version)
        for number in range(20):
            await _ask(s, f"agent {number}", "The prompt of all.", f"session {number}")
        assert [fact.what for fact in s.of(NamesDoubted)] == ["agents"]
        assert await _ask(s, "bad", "the new prompt", "another") == 200
        assert s.of(RequestArrived)[-1].agent != "bad"
        s.banned["bad"] = "it loops"
        assert await _ask(s, "bad", "the new prompt", "yet another") == 403
        assert await _ask(s, "agent 30", "The prompt of all.", "more") == 200


async def _ask(s: Stack, agent: str, system: str, session: str) -> int:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": f"task of {session}"}]
    headers = {"x-agent-id": agent, "x-session-id": session}
    return (await s.post("/v1/chat/completions", {"messages": messages}, headers))[0]
