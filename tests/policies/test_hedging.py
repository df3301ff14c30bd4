"""Hedging: what is late by those alike, a budget that holds, and what is learned of whether it was worth it."""

from __future__ import annotations

import math
import random
import tracemalloc

import pytest

from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.door.waits import KEPT, Waits
from radixdeck.policies.doorkeeping import Answered, Asked, Entered, Hedger
from radixdeck.policies.events import PolicyFailed
from radixdeck.policies.hedging import Hedging


def asked(agent: str = "coder", tokens: int = 900, **more: object) -> Asked:
    return Asked(rid="r", agent=agent, about_tokens=tokens, **{"streamed": True, **more})  # pyright: ignore[reportArgumentType] - any of its fields


def learned(waits_s: list[float], of: Asked | None = None, **tunables: float) -> Hedging:
    """A policy that saw these waits, with something in its account."""
    policy = Hedging()
    for name, value in tunables.items():
        policy.tunables.set(name, value)
    for wait_s in waits_s:
        policy.notice(Entered(t_s=0.0, asked=of or asked()))
        policy.notice(Answered(t_s=0.0, asked=of or asked(), after_s=wait_s))
    return policy


def hundred(of: Asked | None = None, **tunables: float) -> Hedging:
    """Waits of 10 to 1,000 ms."""
    return learned([number / 100 for number in range(1, 101)], of, **tunables)


def test_late_is_what_takes_longer_than_nearly_all_alike() -> None:
    assert hundred().late_s(asked()) == 0.95
    assert hundred(quantile=0.5).late_s(asked()) == 0.5
    assert isinstance(Hedging(), Hedger)


def test_nothing_is_late_before_the_floor() -> None:
    assert learned([0.001] * 50).late_s(asked()) == 0.05
    assert learned([0.001] * 50, floor_ms=2.0).late_s(asked()) == 0.002


def test_nothing_is_late_while_too_little_is_known() -> None:
    assert math.isinf(Hedging().late_s(asked()))
    assert math.isinf(learned([0.1] * 19).late_s(asked()))
    assert not math.isinf(learned([0.1] * 20).late_s(asked()))
    assert not Hedging().hedge(asked(), 9.0).send


def test_an_agent_is_compared_with_itself_and_a_new_one_with_all_alike() -> None:
    policy = hundred()
    for _ in range(40):
        policy.notice(Answered(t_s=0.0, asked=asked("quick"), after_s=0.1))
    assert policy.late_s(asked("quick")) == 0.1
    assert policy.late_s(asked()) == 0.95
    assert policy.late_s(asked("new")) not in (0.1, math.inf)


@pytest.mark.parametrize(
    "other", [asked(tokens=9_000), asked(streamed=False), asked(streamed=False, output_tokens=900)]
)
def test_what_is_not_alike_is_not_compared(other: Asked) -> None:
    """A prompt of another length; an answer that has to be written before it comes."""
    assert math.isinf(hundred().late_s(other))


def test_the_length_of_an_answer_counts_only_where_it_has_to_be_written_first() -> None:
    whole = asked(streamed=False, output_tokens=8)
    assert math.isinf(hundred(whole).late_s(asked(streamed=False, output_tokens=800)))
    assert hundred(asked(output_tokens=8)).late_s(asked(output_tokens=800)) == 0.95


def test_the_budget_bounds_how_many_are_sent_twice() -> None:
    """However late all of them are: a twentieth of the requests, and a burst that was saved up."""
    policy = learned([0.1] * 400)
    words = [policy.hedge(asked(), 0.2) for _ in range(20)]
    assert [word.send for word in words] == [True] * 5 + [False] * 15
    assert words[0].why == "no answer after 200 ms, 95% of coder's alike begin within 100 ms"
    assert words[5].why.endswith("the budget of 5.0% is used up")
    sent = 0
    for _ in range(1_000):
        policy.notice(Entered(t_s=0.0, asked=asked()))
        sent += policy.hedge(asked(), 0.2).send
    assert sent == 50


def test_no_budget_nothing_sent() -> None:
    assert not learned([0.1] * 400, budget=0.0).hedge(asked(), 9.0).send


def test_where_the_second_engine_never_answers_first_a_tenth_is_left() -> None:
    policy, sent = learned([0.1] * 400), 0
    for number in range(4_000):
        policy.notice(Entered(t_s=0.0, asked=asked()))
        if policy.hedge(asked(), 0.2).send:
            sent += number >= 2_000
            policy.notice(Answered(t_s=0.0, asked=asked(), after_s=0.3, second="lost"))
    assert 10 <= sent <= 25  # of 2,000: between a tenth of the budget, 10, and a quarter
    for _ in range(40):
        policy.notice(Answered(t_s=0.0, asked=asked(), after_s=0.3, second="won"))
    sent = 0
    for _ in range(1_000):
        policy.notice(Entered(t_s=0.0, asked=asked()))
        sent += policy.hedge(asked(), 0.2).send
    assert sent > 40


def test_what_was_saved_is_guessed_from_those_who_had_to_wait() -> None:
    policy = learned([0.1] * 95 + [1.0, 2.0, 3.0, 4.0, 5.0])
    assert policy.saved_s(asked(), 2.5) == pytest.approx(1.5)
    assert policy.saved_s(asked(), 9.0) == 0.0
    assert Hedging().saved_s(asked(), 1.0) == 0.0


def test_waits_cut_short_do_not_move_what_is_late() -> None:
    """One in fifty takes ten seconds; the second engine ends that wait 50 ms after it was called late."""
    rng, policy, late = random.Random(1), learned([0.1] * 200, budget=1.0), list[float]()
    for _ in range(3_000):
        wait_s, late_s = (10.0 if rng.random() < 0.02 else rng.uniform(0.05, 0.15)), policy.late_s(asked())
        late.append(late_s)
        hedged = wait_s > late_s
        second = "won" if hedged and wait_s > late_s + 0.05 else "lost" if hedged else ""
        policy.notice(Answered(t_s=0.0, asked=asked(), after_s=min(wait_s, late_s + 0.05), second=second))
    assert 0.13 < min(late[500:]) <= max(late[500:]) < 0.2


def test_waits_are_bounded_and_in_order() -> None:
    waits, seen, rng = Waits(), list[float](), random.Random(7)
    for _ in range(3 * KEPT):
        seen.append(rng.choice([0.1, 0.2, 0.3]))
        waits.see(seen[-1])
        last = sorted(seen[-KEPT:])
        assert len(waits) == len(last)
        assert waits.within_s(1.0) == last[-1]
        assert waits.within_s(0.5) == last[-(-len(last) // 2) - 1]


# ---- the host --------------------------------------------------------------------------------------------------------


def test_batches_and_what_is_stateful_are_never_asked_about() -> None:
    host = DoorHost(["hedging"])
    assert host.hedges
    assert host.late_s(asked(), 0.0) == ("hedging", math.inf)
    assert host.late_s(asked(batch=True), 0.0) is None
    assert host.late_s(asked(stateful=True), 0.0) is None


def test_without_a_hedger_nobody_is_asked() -> None:
    host = DoorHost(["fairness", "safety", "admission"])
    assert not host.hedges
    assert host.late_s(asked(), 0.0) is None
    assert not host.hedge("hedging", asked(), 1.0, 0.0).send
    assert host.saved_s("hedging", asked(), 1.0, 0.0) == 0.0


@pytest.mark.parametrize("call", ["late_s", "hedge", "saved_s"])
def test_one_that_raises_is_switched_off_and_nothing_is_sent(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(Hedging, call, broken)
    failed: list[PolicyFailed] = []
    host = DoorHost(["hedging"], failed=failed.append)
    host.late_s(asked(), 1.0)
    assert not host.hedge("hedging", asked(), 1.0, 1.0).send
    assert host.saved_s("hedging", asked(), 1.0, 1.0) == 0.0
    assert [(fact.policy, fact.call) for fact in failed] == [("hedging", call)]
    assert not host.hedges


def test_what_it_remembers_is_a_few_megabytes_whatever_agents_call_themselves() -> None:
    policy, other = Hedging(), random.Random(1)
    tracemalloc.start()
    try:
        for agent in range(1_000):
            of = asked(f"agent{agent}")
            for _ in range(KEPT + 1):
                policy.notice(Answered(t_s=0.0, asked=of, after_s=other.random()))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 6e6
    assert not math.isinf(policy.late_s(asked("agent999")))
