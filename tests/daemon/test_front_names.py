"""The front tells who asks by what is sent where names do not hold."""

from __future__ import annotations

from front_harness import stack

from radixdeck.policies.events import NamesDoubted, RequestArrived


async def test_names_that_do_not_hold_are_said_once_and_not_gone_by() -> None:
    async with stack() as s:
        turns = [{"role": "user", "content": "the task"}]
        for number in range(12):
            await s.post("/v1/chat/completions", {"messages": turns}, {"x-session-id": f"request {number}"})
            turns += [{"role": "assistant", "content": "done"}, {"role": "user", "content": f"and {number}?"}]
        doubted = s.of(NamesDoubted)
        assert [(fact.tenant, fact.what, fact.doubted) for fact in doubted] == [("default", "sessions", True)]
        assert doubted[0].t_ns in {arrived.t_ns for arrived in s.of(RequestArrived)}
        sessions = [arrived.session for arrived in s.of(RequestArrived)]
        assert sessions[:8] == [f"request {number}" for number in range(8)]
        assert set(sessions[8:]) == {"request 7"}, "the conversation keeps the last name that was gone by"
        async with s.client.post(s.url + "/radixdeck/sessions/request%2011/end") as answer:
            assert (await answer.json())["session"] == "request 7"
