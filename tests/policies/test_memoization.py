"""What the policy learns from transcripts: what answering would have saved, and which declarations are wrong."""

from __future__ import annotations

from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Asked, Heard, Left, ToolUse
from radixdeck.policies.events import PolicySwitched, ToolMemoized
from radixdeck.policies.memoization import Memoization
from radixdeck.policies.tools.calls import ToolCall

RULES = """
[tools.read]
read_only = true
ttl_s = 60
invalidated_by = ["write"]
"""


def test_rules_that_are_read_again_give_every_tool_another_chance_to_be_called_early() -> None:
    """And what waits was guessed by those before."""
    speculates = (
        RULES.replace("ttl_s = 60", "ttl_s = 60\nspeculate = true") + "[tools.list]\nread_only = true\nttl_s = 60"
    )
    policy = Memoization()
    policy.tunables.set("trials", 0)
    policy.obey(speculates)

    def calls(tool: str, arguments: dict[str, str], said: object) -> None:
        one = ToolCall(tool=tool, arguments=arguments)
        policy.early.began(one)
        policy.early.ended(one, said, 1.0)

    def learns() -> None:
        for n in range(6):
            calls("list", {}, {"first": f"{n}"})
            calls("read", {"path": f"{n}"}, "text")
        calls("list", {}, {"first": "new"})

    learns()
    policy.early.never.put("read", "it asked for something")
    policy.obey(speculates)
    assert len(policy.early.never) == 0
    assert policy.early.next(0.0) is None
    learns()
    assert policy.early.next(0.0) is not None


class Transcripts:
    """Answers and the results that follow them, of any agent and session."""

    def __init__(self, rules: str = RULES) -> None:
        self.policy = Memoization()
        self.policy.tunables.set("trials", 0)
        self.policy.obey(rules)
        self.told: list[ToolMemoized] = []
        self.number = 0

    def hear(
        self, now_s: float, *uses: tuple[str, object, str], agent: str = "coder", call_id: str = "", took_s: float = 1
    ) -> list[str]:
        """An answer is over, and so much later its tools' results arrive. Returns what was found out."""
        asked = Asked(rid="r", agent=agent, session=f"s-{agent}", tenant="t")
        self.policy.notice(Left(t_s=now_s - took_s, asked=asked, entered=True))
        self.number += 1
        told = tuple(
            ToolUse(call_id=call_id or f"{self.number}-{at}", tool=tool, arguments=arguments, result=result.encode())
            for at, (tool, arguments, result) in enumerate(uses)
        )
        found = self.policy.hear(Heard(t_s=now_s, asked=asked, uses=told))
        self.told += found
        return [fact.what for fact in found]


def test_repeats_are_what_it_is_worth() -> None:
    heard = Transcripts()
    found = [heard.hear(10.0 * n, ("read", {"path": "a"}, "same")) for n in range(6)]
    assert found == [[], ["worth"], ["worth"], [], ["worth"], []]
    assert "would have answered 4 of 5 calls" in heard.told[-1].why


def test_two_results_of_one_call_switch_a_tool_off() -> None:
    heard = Transcripts()
    heard.hear(0.0, ("read", {"path": "a"}, "one"))
    assert heard.hear(10.0, ("read", {"path": "a"}, "another")) == ["off"]
    assert "read" in heard.policy.memory.off
    assert heard.hear(11.0, ("read", {"path": "a"}, "one")) == []


def test_what_changed_in_between_or_is_too_old_proves_nothing() -> None:
    heard = Transcripts()
    heard.hear(0.0, ("read", {"path": "a"}, "one"))
    heard.hear(1.0, ("write", {"path": "a"}, "done"), agent="other")
    assert heard.hear(2.0, ("read", {"path": "a"}, "two")) == []
    assert heard.hear(90.0, ("read", {"path": "a"}, "three")) == []
    assert heard.hear(91.0, ("read", {"path": "a"}, "three"), ("write", {}, "done")) == []
    assert heard.hear(92.0, ("read", {"path": "a"}, "four")) == []
    assert heard.policy.memory.off == {}


def test_a_change_is_over_once_its_result_is_there() -> None:
    """And what is read from then on is remembered."""
    heard = Transcripts()
    heard.hear(0.0, ("write", {"path": "a"}, "done"))
    assert [heard.hear(10.0 + n, ("read", {"path": "a"}, "same")) for n in range(2)] == [[], ["worth"]]


def test_a_result_is_as_old_as_the_answer_that_asked_for_it() -> None:
    heard = Transcripts()
    heard.hear(100.0, ("read", {"path": "a"}, "one"), took_s=90.0)
    assert heard.hear(105.0, ("read", {"path": "a"}, "another")) == [], "the first may be 95 s old, and 60 are allowed"


def test_a_request_that_is_tried_again_counts_once() -> None:
    heard = Transcripts()
    assert [heard.hear(n, ("read", {}, "x"), call_id="c1") for n in (1.0, 2.0, 3.0)] == [[], [], []]
    counts = heard.policy.watch.tools.get("read")
    assert counts is not None
    assert counts.calls == 1


def test_a_tool_that_is_not_declared_is_only_proposed() -> None:
    heard = Transcripts("")
    found = [heard.hear(float(n), ("list", {"of": "x"}, "same")) for n in range(9)]
    assert [what for one in found for what in one] == ["proposed", "proposed"]  # at 4 and at 8 repeats
    heard.hear(9.0, ("list", {"of": "x"}, "another"))
    assert [heard.hear(10.0 + n, ("list", {"of": "x"}, "same")) for n in range(20)] == [[]] * 20


def test_the_door_has_it_heard_only_while_it_is_on() -> None:
    host = DoorHost(["safety"])
    assert not host.hears
    host.follow(PolicySwitched(t_ns=0, policy="memoization", enabled=True))
    assert host.hears
    host.follow(PolicySwitched(t_ns=0, policy="memoization", enabled=False))
    assert not host.hears
