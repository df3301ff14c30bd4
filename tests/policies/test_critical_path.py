"""Critical path: short tasks end sooner, sinking is by what a session was served, and nobody is overtaken for ever."""

from __future__ import annotations

import random
import statistics

import pytest
from door_load import Server, Step

from radixdeck.policies.critical_path import CriticalPath
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Asked, Came, Doorkeeper, Entered, Left, Matched, Verdict
from radixdeck.policies.events import EventsDropped

NAME = "critical_path"


def fresh(**tunables: float) -> CriticalPath:
    """With levels of 1,000 tokens, 4,000, 16,000 and so on."""
    policy = CriticalPath()
    for name, value in {"quantum": 1_000.0, "growth": 4.0, "levels": 5.0, **tunables}.items():
        policy.tunables.set(name, value)
    return policy


def asked(rid: str, session: str) -> Asked:
    return Asked(rid=rid, agent="a", session=session)


def served(policy: CriticalPath, session: str, prompt: int, cached: int = 0, output: int = 0) -> None:
    """One request of a session, from its coming to its end."""
    one = asked(f"{session}-{prompt}-{output}", session)
    policy.notice(Came(t_s=0.0, asked=one))
    policy.notice(Entered(t_s=0.0, asked=one))
    policy.notice(Matched(t_s=0.0, asked=one, prompt_tokens=prompt, cached_tokens=cached))
    policy.notice(Left(t_s=0.0, asked=one, entered=True, prompt_tokens=prompt, output_tokens=output))


def waiting(policy: CriticalPath, *sessions: str, at_s: float = 0.0) -> list[Asked]:
    came = [asked(f"w-{session}", session) for session in sessions]
    for one in came:
        policy.notice(Came(t_s=at_s, asked=one))
    return came


def orders(policy: CriticalPath, came: list[Asked], now_s: float) -> list[str]:
    """Sessions in the order in which they are let in."""
    return [one.session for one in sorted(came, key=lambda one: policy.admit(one, now_s).order)]


def test_it_keeps_the_contract_and_alone_a_request_only_has_a_priority() -> None:
    policy = fresh()
    assert isinstance(policy, Doorkeeper)
    (one,) = waiting(policy, "s")
    assert policy.admit(one, 0.0) == Verdict(priority=5)


def test_what_was_served_sinks_a_session_and_what_was_cached_does_not() -> None:
    policy = fresh()
    served(policy, "cached", prompt=50_000, cached=49_500, output=100)
    served(policy, "some", prompt=2_000, cached=1_000)
    served(policy, "more", prompt=1_000, output=3_500)
    served(policy, "most", prompt=900_000)
    came = waiting(policy, "most", "more", "some", "cached", "new")
    assert [policy.admit(one, 0.0).priority for one in came] == [1, 3, 4, 5, 5]
    assert orders(policy, came, 0.0) == ["cached", "new", "some", "more", "most"]


def test_within_a_level_the_session_that_began_first_goes_first() -> None:
    policy = fresh()
    old = waiting(policy, "old", at_s=0.0)
    served(policy, "old", prompt=10)
    came = [*waiting(policy, "young", at_s=1.0), *old]
    assert orders(policy, came, 2.0) == ["old", "young"]


def test_who_has_waited_for_long_goes_before_everybody_in_the_order_of_coming() -> None:
    policy = fresh(patience_s=5.0)
    served(policy, "a", prompt=900_000)
    served(policy, "b", prompt=900_000)
    came = [*waiting(policy, "b", at_s=1.0), *waiting(policy, "a", at_s=2.0), *waiting(policy, "new", at_s=6.0)]
    assert orders(policy, came, 5.9) == ["new", "b", "a"]
    assert orders(policy, came, 6.5) == ["b", "new", "a"]
    assert orders(policy, came, 7.0) == ["b", "a", "new"]
    assert policy.admit(came[0], 7.0).priority == 5


def test_it_holds_while_the_engine_has_enough_to_begin_with_and_says_so() -> None:
    policy = fresh(ahead=2.0)
    served(policy, "known", prompt=10)
    inside = waiting(policy, "x", "y")
    (one,) = waiting(policy, "z")
    for other in inside:
        assert policy.admit(one, 0.0).kind == "pass"
        policy.notice(Entered(t_s=0.0, asked=other))
    verdict = policy.admit(one, 0.0)
    assert (verdict.kind, verdict.everybody) == ("hold", True)
    assert verdict.why == "the engine has yet to begin 2 requests; the session that was served least goes first"
    policy.notice(Matched(t_s=1.0, asked=inside[0], prompt_tokens=9, cached_tokens=0))
    assert policy.admit(one, 1.0).kind == "pass"


def test_an_engine_that_never_says_what_it_begins_holds_nobody() -> None:
    policy = fresh(ahead=1.0)
    for number in range(20):
        (one,) = waiting(policy, f"s{number}")
        policy.notice(Entered(t_s=0.0, asked=one))
    assert policy.admit(asked("r", "s"), 0.0).kind == "pass"
    served(policy, "said", prompt=10)
    assert policy.admit(asked("r", "s"), 0.0).kind == "hold"
    for number in range(20):
        one = asked(f"w-s{number}", f"s{number}")
        policy.notice(Left(t_s=1.0, asked=one, entered=True, prompt_tokens=9, output_tokens=3))
    (one,) = waiting(policy, "t")
    policy.notice(Entered(t_s=2.0, asked=one))
    assert policy.admit(asked("r", "s"), 2.0).kind == "pass"


def test_words_that_were_lost_hold_nobody() -> None:
    policy = fresh(ahead=1.0)
    served(policy, "said", prompt=10)
    (one,) = waiting(policy, "x")
    policy.notice(Entered(t_s=0.0, asked=one))
    assert policy.admit(asked("r", "s"), 0.0).kind == "hold"
    policy.observe(EventsDropped(t_ns=1, count=1))
    assert policy.admit(asked("r", "s"), 0.0).kind == "pass"


def test_without_a_quantum_the_first_level_is_two_usual_requests_wide() -> None:
    policy = CriticalPath()
    (one,) = waiting(policy, "s")
    assert policy.admit(one, 0.0).priority == 7
    for session in "abcd":
        served(policy, session, prompt=90, output=10)
    served(policy, "a", prompt=80, output=10)
    assert policy.admit(waiting(policy, "a")[0], 0.0).order[0] == 1.0
    served(policy, "a", prompt=90, output=20)
    assert policy.admit(waiting(policy, "a")[0], 0.0).order[0] == 2.0
    for number in range(400):
        served(policy, f"large{number}", prompt=900, output=100)
    assert policy.admit(waiting(policy, "a")[0], 0.0).order[0] == 1.0


def test_a_word_that_comes_late_corrects_what_was_charged() -> None:
    policy = fresh()
    (one,) = waiting(policy, "s")
    policy.notice(Entered(t_s=0.0, asked=one))
    policy.notice(Left(t_s=1.0, asked=one, entered=True, prompt_tokens=5_000, output_tokens=10))
    (two,) = waiting(policy, "s")
    assert policy.admit(two, 1.0).priority == 3
    policy.notice(Matched(t_s=1.0, asked=one, prompt_tokens=5_000, cached_tokens=4_900))
    assert policy.admit(two, 1.0).priority == 5


def test_what_it_never_saw_come_does_no_harm() -> None:
    policy = fresh()
    policy.notice(Left(t_s=0.0, asked=asked("r1", "s"), entered=True, output_tokens=5))
    policy.notice(Matched(t_s=0.0, asked=asked("r2", "s"), prompt_tokens=5, cached_tokens=0))
    assert policy.admit(asked("r3", ""), 0.0).kind == "pass"


def mixed(seed: int, policies: list[str], *, priorities: bool = False, **tunables: float) -> Server:
    """Sessions of one to three steps, and some of twenty and more."""
    rng = random.Random(seed)
    host = DoorHost(policies, {NAME: tunables})
    server = Server(host, anchors={"a": 300, "b": 600}, priorities=priorities)
    at_s = 0.0
    for number in range(60):
        at_s += rng.expovariate(0.45)
        count = rng.randint(1, 3) if rng.random() < 0.85 else rng.randint(20, 30)
        steps = [
            Step(rng.choice("ab"), f"s{number}", tail=rng.randint(50, 400), output=rng.randint(20, 80))
            for _ in range(count)
        ]
        server.add(at_s, steps)
    return server.run()


@pytest.mark.parametrize("priorities", [False, True])
def test_short_tasks_end_sooner_and_the_mean_is_no_worse(priorities: bool) -> None:
    """Over three seeds; the second means is SGLang's queue with nobody held at the door."""
    more = {"ahead": 4096.0} if priorities else {}
    plain = [mixed(seed, []).session_s().values() for seed in range(3)]
    ordered = [mixed(seed, [NAME], priorities=priorities, **more).session_s().values() for seed in range(3)]
    median = [statistics.fmean(statistics.median(of) for of in runs) for runs in (plain, ordered)]
    mean = [statistics.fmean(statistics.fmean(of) for of in runs) for runs in (plain, ordered)]
    assert median[1] < 0.75 * median[0]
    assert mean[1] < 1.05 * mean[0]


@pytest.mark.parametrize("seed", range(4))
def test_nobody_is_overtaken_by_who_came_after_its_patience(seed: int) -> None:
    patience_s = 4.0
    server = mixed(seed, [NAME], patience_s=patience_s)
    overtaken_s = max(one.overtaken_s for one in server.seen.values())
    assert 0.0 < overtaken_s < patience_s
    assert max(one.overtaken_s for one in mixed(seed, [NAME], patience_s=600.0).seen.values()) > 2 * patience_s


def flood(patience_s: float) -> float:
    """How long the second step of a session waits while new sessions never stop coming, in SGLang's queue."""
    host = DoorHost([NAME], {NAME: {"quantum": 100.0, "patience_s": patience_s, "ahead": 4096.0}})
    server = Server(host, slots=1, anchors={"a": 10}, priorities=True)
    server.add(0.0, [Step("a", "old", tail=500), Step("a", "old", tail=500)])
    for number in range(400):
        server.add(0.2 * number, [Step("a", f"new{number}", tail=400, output=5)])
    server.run()
    return max(one.begun_s - one.came_s for one in server.seen.values() if one.step.session == "old")


def test_a_flood_of_newcomers_does_not_starve_an_old_session_in_sglangs_queue() -> None:
    """While it is stuck they get no higher priority than it has, and it goes before them."""
    assert flood(patience_s=5.0) < 15.0
    assert flood(patience_s=600.0) > 60.0
