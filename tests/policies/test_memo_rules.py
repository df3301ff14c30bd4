"""Rules of the memoization policy: what they mean, and that every mistake in them is named with its line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.policies.doorkeeping import RulesError
from radixdeck.policies.tools.canonical import NotCanonical, canonical
from radixdeck.policies.tools.rules import MemoRules, read_memo_rules

RULES = """
[tools.read_file]
read_only = true
ttl_s = 60
invalidated_by = ["write_*"]

[tools.weather]
read_only = true
ttl_s = 600
scope = "all"
ignore = ["reason"]

[tools.list_prs]
read_only = true
ttl_s = 5
invalidated_by = []

[tools.send_mail]
settle_s = 30
"""


def test_what_changes_what() -> None:
    rules = read_memo_rules(RULES)
    assert rules.changed_by("write_file") == ["read_file", "weather"]  # unsaid means: every tool that is not read-only
    assert rules.changed_by("send_mail") == ["weather"]
    assert rules.changed_by("never_heard_of") == ["read_file", "weather", "list_prs"]
    assert rules.changed_by("read_file") == rules.changed_by("weather") == []
    lenient = read_memo_rules("strict = false\n" + RULES)
    assert lenient.changed_by("never_heard_of") == ["weather"]
    assert (rules.settle_s("send_mail"), rules.settle_s("write_file")) == (30, 0)


def test_nothing_is_read_only_unless_it_is_said() -> None:
    assert read_memo_rules("") == MemoRules()
    rules = read_memo_rules("[tools.a]\n[tools.b]\nread_only = false\n")
    assert [rules.reader(name) for name in ("a", "b", "c")] == [None, None, None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tools", "not valid TOML"),
        ("tool = 1", "line 1: tool: unknown key"),
        ("strict = 1", "line 1: strict: must be true or false"),
        ("tools = 3", "line 1: tools: must be tables"),
        ("[tools]\nread = 3", "line 2: tools.read: must be a table"),
        ("[tools.a]\nread_only = 1", "line 2: tools.a.read_only: Expected `bool`"),
        ("[tools.a]\nreadonly = true", "line 2: tools.a.readonly: Object contains unknown field"),
        ("[tools.a]\nread_only = true", "line 1: tools.a: a read-only tool needs ttl_s"),
        ("[tools.a]\nread_only = true\nttl_s = 0", "line 3: tools.a.ttl_s: Expected `float` > 0"),
        ("[tools.a]\nread_only = true\nttl_s = nan", "line 3: tools.a.ttl_s"),
        ("[tools.a]\nttl_s = 3", "line 2: tools.a.ttl_s: has no meaning without read_only"),
        ("[tools.a]\nread_only = true\nttl_s = 3\nscope = 'us'", "line 4: tools.a.scope: Invalid enum value"),
        ("[tools.a]\nread_only = true\nttl_s = 3\nsettle_s = 3", "line 4: tools.a.settle_s: is for tools"),
        ("[tools.a]\nread_only = true\nttl_s = 3\nper = 'k'", "line 4: tools.a.per: has no meaning without"),
        ("serial = 'no'", "line 1: serial: must be true or false"),
        ("[tools.a]\nspeculate = true", "line 2: tools.a.speculate: has no meaning without read_only"),
        ("[tools.a]\nread_only = true\nttl_s = 3\nspeculate = 2", "line 4: tools.a.speculate: Expected `bool"),
        ("[tools.a]\nread_only = true\nttl_s = 3\ncost_s = 2", "line 4: tools.a.cost_s: has no meaning without spec"),
        ("[tools.a]\nread_only = true\nttl_s = 3\nspeculate = true\ncost_s = -1", "line 5: tools.a.cost_s: Expected"),
        (
            "[tools.a]\nread_only = true\nttl_s = 3\nper = 'k'\nignore = ['k']\ninvalidated_by = ['b']",
            "line 4: tools.a.per: 'k' cannot be ignored",
        ),
        (
            "[tools.a]\nread_only = true\nttl_s = 3\ninvalidated_by = ['b']\n[tools.b]\nread_only = true\nttl_s = 1",
            "line 4: tools.a.invalidated_by: names 'b', which is declared read-only",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(RulesError) as error:
        read_memo_rules(text)
    assert says in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def shape(value: object) -> object:
    """A value with its kinds, so that Python's 1 == 1.0 == True and 0.0 == -0.0 do not count as the same."""
    if isinstance(value, dict):
        return frozenset((key, shape(item)) for key, item in value.items())
    if isinstance(value, list):
        return ("list", *map(shape, value))
    return type(value).__name__, repr(value)


@settings(deadline=None)
@given(JSON, JSON)
def test_equal_values_and_only_they_have_one_spelling(one: object, other: object) -> None:
    assert (canonical(one) == canonical(other)) == (shape(one) == shape(other))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), JSON, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_matter(told: dict[str, object], random: object) -> None:
    items = list(told.items())
    getattr(random, "shuffle")(items)  # noqa: B009
    assert canonical(dict(items)) == canonical(told)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": float("nan")}, "not finite"),
        ([float("-inf")], "not finite"),
        ({1: 2}, "a key of type int"),
        ((1, 2), "a value of type tuple"),
        (b"x", "a value of type bytes"),
        (10**5000, "a number too long"),
    ],
    ids=["nan", "infinity", "key", "tuple", "bytes", "long"],
)
def test_what_is_not_json_has_none(value: object, says: str) -> None:
    with pytest.raises(NotCanonical, match=says):
        canonical(value)


def test_nesting_without_end_has_none() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotCanonical, match="nested too deeply"):
        canonical(deep)
    deep.clear()
