"""Where events of a run are missing, a shadow says how much of it the rates are not of."""

from __future__ import annotations

from pathlib import Path

import pytest
from shadow_stage import record, served_events

from radixdeck.console.shadow_run import Choice, Shadow
from radixdeck.console.shadow_words import doubt, gained, gaps
from radixdeck.policies import events as ev
from radixdeck.storage.beside import BesideView

CHOICE = Choice("lru", "kv_caching")


def with_a_gap(begin: int, number: int) -> tuple[ev.AnyEvent, ...]:
    events = served_events()
    gap = ev.EventsDropped(t_ns=events[begin].t_ns, count=number)
    return (*events[:begin], gap, *events[begin + number :])


def followed(path: Path, choice: Choice) -> tuple[BesideView, str]:
    shadow = Shadow(path, choice)
    while shadow.step():
        pass
    shadow.close()
    assert not shadow.trouble
    assert shadow.view is not None
    return shadow.view, shadow.words


@pytest.mark.parametrize("choice", [CHOICE, Choice("")])
def test_it_says_how_many_it_counted_and_how_many_it_left_out(tmp_path: Path, choice: Choice) -> None:
    events = with_a_gap(100, 150)
    view, words = followed(record(tmp_path / "run.db", events), choice)
    came = sum(isinstance(event, ev.PrefixMatched) for event in events)
    assert view.left_out > 0
    assert view.dropped == 150
    assert view.requests < came < 80
    assert words == f"following from event 1; counted {view.requests} requests, {gaps(view)}"
    assert gaps(view).startswith(f"{view.left_out} left out")
    assert gaps(view).endswith(": 150 events missing")


def test_so_do_the_reason_of_a_switch_and_the_question_before_it(tmp_path: Path) -> None:
    view, _ = followed(record(tmp_path / "run.db", with_a_gap(100, 150)), CHOICE)
    assert gained(view).startswith(f"shadow over {view.requests} requests: ")
    assert gained(view).endswith(f" of lru; {gaps(view)}")
    assert doubt(view) == f"The shadow counted {view.requests} requests, {gaps(view)}."


def test_of_a_whole_run_there_is_nothing_to_say(tmp_path: Path) -> None:
    view, words = followed(record(tmp_path / "run.db"), CHOICE)
    assert (gaps(view), doubt(view)) == ("", "")
    assert view.requests == view.sides[0].requests == 80
    assert words == "following from event 1"


def test_each_kind_of_gap_is_named(tmp_path: Path) -> None:
    view, _ = followed(record(tmp_path / "run.db", served_events()[:3]), CHOICE)
    for left_out, given_up, dropped, words in (
        (3, 0, 0, "3 left out: events missing"),
        (0, 2, 0, "2 not heard to end"),
        (0, 0, 1, "1 event missing"),
        (1_200, 1, 1_900, "1,200 left out, 1 not heard to end: 1,900 events missing"),
    ):
        assert gaps(view._replace(left_out=left_out, given_up=given_up, dropped=dropped)) == words
