"""What is learned from a stream of tool calls, and what is guessed from it: where arguments come from, and how often
that was right."""

from __future__ import annotations

import random
from typing import Any

import pytest
from counted import calls_of

from radixdeck.policies.tools.calls import ToolCall
from radixdeck.policies.tools.patterns import MAX_COLUMNS, MAX_ROWS, Guess, Patterns
from radixdeck.policies.tools.provenance import MAX_LEAVES, leaves_of


def call(tool: str, arguments: Any = None, **more: Any) -> ToolCall:
    return ToolCall(tool=tool, arguments={} if arguments is None else arguments, agent="coder", **more)


class Stream:
    """A program that calls tools; `guesses`: what was guessed after its last call."""

    def __init__(self, ignored: list[str] | None = None) -> None:
        self.patterns = Patterns(lambda tool: tool != "secret", lambda tool: ignored or [])
        self.guesses: list[Guess] = []

    def does(self, tool: str, arguments: Any = None, said: Any = None, **more: Any) -> list[Guess]:
        one = call(tool, arguments, **more)
        self.patterns.began(one)
        self.guesses = self.patterns.ended(one, said)
        return self.guesses

    def best(self) -> tuple[str, Any]:
        best = self.guesses[0].call
        return best.tool, best.arguments


def listed(n: int) -> dict[str, Any]:
    return {"files": [{"path": f"{n}/a.py"}, {"path": f"{n}/b.py"}, {"path": f"{n}/c.py"}]}


def test_an_argument_is_found_in_the_result_before_it() -> None:
    s = Stream()
    for n in range(4):
        s.does("list", {"dir": f"d{n}"}, listed(n))
        s.does("read", {"path": f"{n}/b.py", "limit": 10}, "text")
    (guess,) = s.does("list", {"dir": "d4"}, listed(4))
    assert (guess.call.tool, guess.call.arguments) == ("read", {"limit": 10, "path": "4/b.py"})
    assert guess.why == "read follows list in 4 of 4, 3 as guessed: limit as ever, path = result.files[1].path"
    assert 0.5 < guess.chance < 0.7
    assert guess.call.agent == "coder"


def test_or_in_the_arguments_before_it() -> None:
    s = Stream()
    for n in range(4):
        s.does("list", {"dir": f"d{n}"}, listed(n))
        s.does("stat", {"of": f"d{n}"}, {"size": n})
    s.does("list", {"dir": "new"}, listed(9))
    assert s.best() == ("stat", {"of": "new"})
    assert "of = arguments.dir" in s.guesses[0].why


def test_of_many_lists_those_told_longest_ago_are_forgotten() -> None:
    """Told again is told anew."""
    s, others = Stream(), [f"other{number}" for number in range(MAX_COLUMNS - 2)]
    for tool in ("one", "two", *others, "one", "three"):
        s.does(tool, {}, ["a", "b"])
    (key,) = s.patterns._streams  # pyright: ignore[reportPrivateUsage]
    stream = s.patterns._streams.get(key)  # pyright: ignore[reportPrivateUsage]
    assert stream is not None
    assert [tool for tool, _ in stream.columns] == [*others, "one", "three"]


def test_or_is_what_comes_next_in_a_list_that_was_told_earlier() -> None:
    s = Stream()
    for n in range(3):
        s.does("list", {"dir": f"d{n}"}, listed(n))
        for name in "abc":
            s.does("read", {"path": f"{n}/{name}.py"}, f"text of {n} {name}")
    s.does("list", {"dir": "new"}, listed(9))
    assert s.best() == ("read", {"path": "9/a.py"})
    s.does("read", {"path": "9/a.py"}, "text")
    assert s.best() == ("read", {"path": "9/b.py"})
    assert "path = next after arguments.path in result.files[*].path of list" in s.guesses[0].why
    s.does("read", {"path": "9/c.py"}, "text")
    assert [guess for guess in s.guesses if guess.call.tool == "read"] == []  # the list is at its end


def test_what_cannot_be_guessed_gets_no_chance() -> None:
    s, chance = Stream(), random.Random(1)
    for _ in range(200):
        s.does("list", {"dir": str(chance.random())}, [str(chance.random()) for _ in range(5)])
        s.does("read", {"path": str(chance.random())}, str(chance.random()))
        assert all(guess.chance == 0 for guess in s.guesses)


def test_a_chance_is_how_often_it_came_just_so() -> None:
    s, chance, right = Stream(), random.Random(2), list[float]()
    for n in range(300):
        s.does("list", {"dir": f"d{n}"}, listed(n))
        right += [guess.chance for guess in s.guesses if guess.call.tool == "read"][:1] if n > 50 else []
        if chance.random() < 0.6:
            s.does("read", {"path": f"{n}/a.py"}, "text")
        else:
            s.does("stat", {"of": f"s{n}"}, "text")
    assert 0.52 < sum(right) / len(right) < 0.68


def test_a_change_of_habit_is_learned() -> None:
    s = Stream()
    for n in range(30):
        s.does("list", {"dir": f"d{n}"}, listed(n))
        s.does("read", {"path": f"{n}/a.py"}, "text")
    for n in range(30, 60):
        s.does("list", {"dir": f"d{n}"}, listed(n))
        s.does("read", {"path": f"{n}/c.py"}, "text")
    s.does("list", {"dir": "new"}, listed(99))
    assert s.best() == ("read", {"path": "99/c.py"})
    assert s.guesses[0].chance > 0.5


def test_each_agent_and_each_session_is_a_stream_of_its_own() -> None:
    s = Stream()
    for n in range(5):  # two sessions in turns
        s.does("list", {"dir": "x"}, listed(n), session="one")
        s.does("list", {"dir": "x"}, listed(n + 50), session="two")
        s.does("read", {"path": f"{n}/a.py"}, "text", session="one")
        s.does("read", {"path": f"{n + 50}/a.py"}, "text", session="two")
    (guess,) = s.does("list", {"dir": "x"}, listed(9), session="three")
    assert guess.call.arguments == {"path": "9/a.py"}
    assert guess.call.session == "three"
    other = ToolCall(tool="list", arguments={}, agent="other")
    assert s.patterns.ended(other, listed(9)) == []
    assert s.patterns.ended(ToolCall(tool="list", arguments={}, agent="coder", tenant="t"), listed(9)) == []


def test_several_at_once_all_follow() -> None:
    s = Stream()
    for n in range(5):
        s.does("list", {"dir": "x"}, listed(n))
        both = [call("read", {"path": f"{n}/a.py"}), call("stat", {"of": f"{n}/b.py"})]
        for one in both:
            s.patterns.began(one)
        for one in both:
            s.patterns.ended(one, "text")
    s.does("list", {"dir": "x"}, listed(9))
    assert {guess.call.tool: guess.call.arguments for guess in s.guesses} == {
        "read": {"path": "9/a.py"},
        "stat": {"of": "9/b.py"},
    }
    assert all(guess.chance > 0.5 for guess in s.guesses)


def test_keys_that_may_be_values_are_not_told() -> None:
    s = Stream()
    for n in range(4):
        s.does("list", {"dir": "x"}, {"me@example.org": {"id": n}})
        s.does("read", {"id": n}, "text")
    (guess,) = s.does("list", {"dir": "x"}, {"me@example.org": {"id": 9}})
    assert guess.call.arguments == {"id": 9}
    assert guess.why.endswith("id = result.….id")


def test_a_guess_stands_until_something_comes() -> None:
    s = Stream()
    for n in range(4):
        s.does("list", {"dir": "x"}, listed(n))
        s.does("read", {"path": f"{n}/a.py"}, "text")
    (guess,) = s.does("list", {"dir": "x"}, listed(9))
    s.patterns.began(call("list", session="another"))
    assert guess.stands()
    s.patterns.began(call("put", {"key": "a"}))
    assert not guess.stands()


def test_only_what_is_wanted_is_guessed_and_ignored_arguments_are_as_they_were_last() -> None:
    s = Stream(ignored=["reason"])
    for n in range(4):
        s.does("list", {"dir": "x"}, listed(n))
        s.does("read", {"path": f"{n}/a.py", "reason": f"since {n}"}, "text")
        s.does("secret", {"path": f"{n}/a.py"}, "text")
    s.does("list", {"dir": "x"}, listed(9))
    assert s.best() == ("read", {"path": "9/a.py", "reason": "since 3"})
    assert s.guesses[0].chance > 0.5
    assert s.does("read", {"path": "9/a.py", "reason": "why not"}, "text") == []


def test_what_is_sent_along_has_to_be_the_same() -> None:
    s = Stream()
    for n in range(6):
        s.does("list", {"dir": "x"}, listed(n))
        s.does("read", {"path": f"{n}/a.py"}, "text", context=[{"trace": n}, {}])
    (guess,) = s.does("list", {"dir": "x"}, listed(9))
    assert guess.chance == 0
    for n in range(12):
        s.does("read", {"path": f"{n}/a.py"}, "text", context=[{"level": "info"}, {}])
        (guess,) = [one for one in s.does("list", {"dir": "x"}, listed(n + 1)) if one.call.tool == "read"]
    assert guess.call.context == [{"level": "info"}, {}]
    assert guess.chance > 0.5


ODD = [
    None, True, 0, "", "x" * 5000, [], {}, [[[[[[[[1]]]]]]]], {"a": float("nan"), "b": float("inf")}, 10**5000, (1, 2),
    {1: 2}, b"x", object(), {"k" * 500: 1}, [None] * 5000, {str(n): n for n in range(5000)}, "\ud800", ["\ud800"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", ODD, ids=range(len(ODD)))
def test_odd_arguments_and_results_teach_nothing_wrong(arguments: Any) -> None:
    s = Stream()
    for said in ODD:
        for one in (arguments, {"path": arguments}):
            s.does("list", one, said)
            s.does("read", one, said)
            for guess in s.guesses:
                assert 0 <= guess.chance <= 1
    assert isinstance(s.guesses, list)


def test_what_is_learned_is_bounded() -> None:
    s, chance = Stream(), random.Random(3)
    for n in range(3000):
        names = {f"a{chance.randrange(30)}": chance.random() for _ in range(chance.randrange(20))}
        s.does(f"t{chance.randrange(MAX_ROWS + 40)}", names, listed(n), session=f"s{n}" if n % 2 else "")
    rows = s.patterns._rows  # pyright: ignore[reportPrivateUsage]
    assert len(rows) == MAX_ROWS
    for whose in list(rows):
        row = rows.get(whose)
        assert row is not None
        assert len(row.pairs) <= 8
        assert all(len(known) <= 8 for pair in row.pairs.values() for known in pair.sources.values())


def test_large_results_are_looked_through_in_part() -> None:
    def work(rows: int) -> int:
        large = {"rows": [{"id": n, "text": "x" * 50, "tags": ["a", "b"]} for n in range(rows)]}
        assert 0 < len(leaves_of("result", large)) <= MAX_LEAVES + 1
        s = Stream()

        def follow() -> None:
            for _ in range(20):
                s.does("list", {"dir": "x"}, large)
                s.does("read", {"id": 3}, large)

        calls = calls_of(follow)
        assert s.guesses == [] or s.guesses[0].chance <= 1
        return calls

    assert work(20_000) < 1.1 * work(2_000)
