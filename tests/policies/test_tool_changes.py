"""What changes are told apart by what they are about, and no longer where there are too many."""

from __future__ import annotations

from radixdeck.policies.tools.calls import Ticket
from radixdeck.policies.tools.changes import MAX_SETTLING, MAX_SUBJECTS, Changes, subject_of
from radixdeck.policies.tools.rules import read_memo_rules

RULES = """
[tools.read]
read_only = true
ttl_s = 10
invalidated_by = ["write"]
per = "n"
"""


def write(number: int) -> Ticket:
    return Ticket(tool="write", arguments={"n": number})


def test_what_a_call_is_about() -> None:
    told = [subject_of(arguments, "n") for arguments in ({"n": 1}, {"n": "1"}, {"n": 1.0}, {"n": [1]}, {}, None, [1])]
    assert told == [b"1", b'"1"', None, None, None, None, None]
    assert subject_of({"n": 1}, None) is None


def test_too_many_changes_to_tell_apart_count_for_everything() -> None:
    changes = Changes(read_memo_rules(RULES))
    before = changes.state("read", b"-1")
    for number in range(MAX_SUBJECTS - 1):
        assert list(changes.changed(write(number))) == [("read", b"%d" % number)]
    assert changes.state("read", b"-1") == before
    assert list(changes.changed(write(-2))) == [("read", None)]
    assert changes.state("read", b"-1") != before


def test_too_many_that_go_on_count_for_everything() -> None:
    changes = Changes(read_memo_rules(RULES))
    for number in range(MAX_SETTLING):
        changes.settle(write(number), 0.0, 10.0)
    assert changes.unsettled("read", b"-1", 1.0) == ""
    changes.settle(write(MAX_SETTLING), 0.0, 5.0)
    assert changes.unsettled("read", b"-1", 9.0) == "write has only just been called"
    assert changes.unsettled("read", b"-1", 10.0) == ""


def test_a_tool_that_is_not_named_changes_everything_whatever_it_is_about() -> None:
    changes = Changes(read_memo_rules(RULES))
    assert list(changes.changed(Ticket(tool="new", arguments={"n": 1}))) == [("read", None)]
