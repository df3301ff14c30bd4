"""What the engine has not begun: counted from what it says, without believing that it says everything."""

from __future__ import annotations

import pytest

from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.door.unbegun import ENOUGH, Unbegun
from radixdeck.policies.doorkeeping import Asked, Came, Entered, Left, Matched
from radixdeck.policies.events import EngineStarted, EventsDropped


def enter(line: Unbegun, rid: str, *, batch: bool = False) -> Asked:
    asked = Asked(rid=rid, agent="a", batch=batch)
    line.notice(Came(t_s=0.0, asked=asked))
    line.notice(Entered(t_s=1.0, asked=asked))
    return asked


def begin(line: Unbegun, asked: Asked) -> None:
    line.notice(Matched(t_s=2.0, asked=asked, prompt_tokens=9, cached_tokens=0))


def leave(line: Unbegun, asked: Asked, output: int = 5) -> None:
    line.notice(Left(t_s=3.0, asked=asked, entered=True, output_tokens=output))


def started(replicas: int) -> EngineStarted:
    return EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=9, page_size=1, policy="lru", replicas=replicas)


def test_batches_are_not_waited_for_since_nobody_says_that_they_have_begun() -> None:
    line = Unbegun()
    begin(line, enter(line, "heard"))
    batches = [enter(line, f"batch{n}", batch=True) for n in range(2 * ENOUGH)]
    assert (len(line), line.waiting, line.oldest()) == (0, 0, None)
    for batch in batches:
        leave(line, batch)
    enter(line, "one")
    assert (len(line), line.silent) == (1, False)


def test_a_word_that_comes_late_does_not_open_the_door() -> None:
    line = Unbegun()
    begin(line, enter(line, "heard"))
    inside = [enter(line, f"r{n}") for n in range(4)]
    for _ in range(3 * ENOUGH):
        short = enter(line, "short")
        leave(line, short)
        assert len(line) == 4
        begin(line, short)
    assert line.oldest() == ("r0", 1.0)
    leave(line, inside[0], output=0)
    assert len(line) == 3


def test_an_engine_that_serves_many_without_a_word_is_not_waited_for_until_it_speaks() -> None:
    line = Unbegun()
    begin(line, enter(line, "heard"))
    stays = enter(line, "stays")
    for n in range(ENOUGH):
        assert (len(line), line.silent) == (1, False)
        leave(line, enter(line, f"r{n}"))
    assert (len(line), line.silent, line.oldest()) == (0, True, None)
    begin(line, enter(line, "again"))
    assert (len(line), line.oldest()) == (1, (stays.rid, 1.0))


def test_what_was_lost_may_have_begun() -> None:
    line = Unbegun()
    begin(line, enter(line, "heard"))
    inside = [enter(line, f"r{n}") for n in range(2 * ENOUGH)]
    line.observe(EventsDropped(t_ns=0, count=3))
    assert len(line) == 0
    for asked in inside:
        leave(line, asked)
    assert not line.silent


def test_an_engine_of_which_only_one_replica_speaks_is_not_waited_for() -> None:
    line = Unbegun()
    line.observe(started(2))
    begin(line, enter(line, "on the first"))
    enter(line, "on the second")
    assert (len(line), line.silent, line.oldest()) == (0, True, None)
    line.observe(started(1))
    assert (len(line), line.silent) == (1, False)


@pytest.mark.parametrize("policy", ["fairness", "batch_shaping", "critical_path"])
def test_nobody_is_held_for_what_the_other_replica_has_begun_unheard(policy: str) -> None:
    host = DoorHost([policy])
    host.follow(started(2))
    for n in range(40):
        asked = Asked(rid=f"r{n}", agent=f"a{n % 7}", session=f"s{n}", about_tokens=300)
        host.notice(Came(t_s=n / 10, asked=asked))
        assert host.judge(asked, n / 10).verdict.kind == "pass"
        host.notice(Entered(t_s=n / 10, asked=asked))
        if n % 2 == 0:
            host.notice(Matched(t_s=n / 10, asked=asked, prompt_tokens=300, cached_tokens=0))
