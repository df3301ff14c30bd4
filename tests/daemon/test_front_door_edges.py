"""What goes wrong at the door, or is said late, costs nobody a place and lets nobody slip by."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_front_door import HOLD, rig

from radixdeck.daemon import front_door
from radixdeck.daemon.clock import now_ns
from radixdeck.policies.doorkeeping import DoorFact, Entered, Left, Verdict
from radixdeck.policies.events import PolicySwitched, RequestRefused, SessionEnded


async def test_what_raises_while_output_is_cut_gives_the_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def deep(*_: Any) -> None:
        raise RecursionError

    async with rig() as r:
        r.gate.says["a"] = Verdict(limit_tokens=50)
        monkeypatch.setattr(front_door, "limit_output", deep)
        assert (await r.ask("a"))[0] == 400
        assert r.gate.steps() == ["Came", "Entered", "Left"]


async def test_a_stream_that_tells_no_usage_is_counted_as_it_passes() -> None:
    async with rig() as r:
        r.stack.upstream.tells_usage, r.stack.upstream.words = False, ["a", "b", "c", "d"]
        async with r.stack.client.post(
            r.stack.url + "/v1/chat/completions", json={"messages": [], "stream": True}
        ) as answer:
            await answer.read()
        left = r.gate.facts[-1]
        assert isinstance(left, Left)
        assert (left.prompt_tokens, left.output_tokens) == (0, 4)


async def test_an_agent_quarantined_while_it_waits_is_not_let_through() -> None:
    async with rig() as r:
        r.gate.says["a"] = HOLD
        waiting = asyncio.create_task(r.ask("a"))
        await r.held(1)
        r.stack.banned["a"] = "by the operator"
        r.gate.says.clear()
        r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=True))
        assert (await waiting)[0] == 403
        assert (r.stack.upstream.requests, r.gate.inside) == ([], 0)


@pytest.mark.parametrize("says", [HOLD, Verdict(kind="refuse", why="never")])
async def test_a_session_that_ends_at_the_door_has_ended(says: Verdict) -> None:
    async with rig() as r:
        r.gate.says["a"] = says
        headers = {"x-agent-id": "a", "x-session-id": "s", "x-session-end": "true"}
        asking = asyncio.create_task(r.stack.chat("hi", headers=headers))
        if says is HOLD:
            await r.held(1)
            asking.cancel()
        (ended,) = await r.stack.until(SessionEnded)
        assert ended.session == "s"
        await asyncio.wait([asking])


async def test_what_a_policy_does_while_one_is_let_in_may_ask_about_the_others_again() -> None:
    async with rig() as r:
        r.gate.says = {"a": HOLD, "b": HOLD}
        tasks = [asyncio.create_task(r.ask(agent)) for agent in ("a", "b", "a")]
        await r.held(3)
        notice = r.gate.notice

        def meddling(fact: DoorFact) -> None:
            notice(fact)
            if isinstance(fact, Entered):
                r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=True))

        r.gate.notice = meddling  # type: ignore[method-assign]
        r.gate.says.clear()
        r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=True))
        assert [(await task)[0] for task in tasks] == [200] * 3
        assert (r.gate.inside, r.gate.steps().count("Entered")) == (0, 3)


async def test_a_full_door_turns_away_whoever_holds_most_places_of_the_tenant_that_holds_most() -> None:
    """Not of all agents: the tenant that has more of them would be served at the cost of the other."""
    async with rig() as r:
        r.door._waiting._max_held = 6
        agents = ["x", "x", "x", "acme/y", "acme/z", "acme/y", "acme/z"]
        r.gate.says = dict.fromkeys(agents, HOLD)
        tasks = [await r.waiting(agent, place) for place, agent in enumerate(agents[:-1], 1)]
        tasks.append(asyncio.create_task(r.ask(agents[-1])))
        (refused,) = await r.stack.until(RequestRefused)
        assert refused.agent.startswith("acme/")
        r.gate.says.clear()
        r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=True))
        assert sorted([(await task)[0] for task in tasks]) == [200] * 6 + [503]


async def test_of_those_who_may_come_in_alike_the_one_that_waited_longest_goes_first() -> None:
    async with rig() as r:
        r.gate.places = 0
        tasks = [await r.waiting(agent, place, rid=f"r{place}") for place, agent in enumerate("aba", 1)]
        r.gate.places = 3
        r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=False))
        await asyncio.gather(*tasks)
        assert [fact.asked.rid for fact in r.gate.facts if isinstance(fact, Entered)] == ["r1", "r2", "r3"]


async def test_who_is_not_asked_about_since_everybody_is_held_is_given_up_in_time() -> None:
    async with rig() as r:
        full = Verdict(kind="hold", why="full", everybody=True)
        r.gate.says = {"a": full, "b": Verdict(kind="hold", why="a moment", until_s=now_ns() / 1e9 + 0.1)}
        first = await r.waiting("a", 1)
        r.gate.tunables.set("longest_hold_s", 0.3)
        second = await r.waiting("b", 2)
        assert (await asyncio.wait_for(second, 3))[0] == 503
        assert r.door.held == 1
        r.gate.says.clear()
        r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=True))
        assert (await first)[0] == 200
