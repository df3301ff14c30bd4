"""Policies by name, built-in and of third parties."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from installed import install

from radixdeck.policies import registry
from radixdeck.policies.primitives import Policy


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_every_built_in_policy_keeps_the_contract(name: str):
    policy = registry.create(name)
    assert isinstance(policy, Policy)
    assert policy.name == name
    assert policy.doc
    assert all(tunable.low <= tunable.default <= tunable.high and tunable.doc for tunable in policy.declares)
    assert registry.create(name) is not policy


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(registry.PolicyError, match=r"'lruu'.*kv_caching, .*lru, .*operator"):
        registry.create("lruu")


@pytest.mark.parametrize(
    ("target", "word"),
    [("no_such_module:X", "no_such_module"), ("builtins:dict", "contract"), ("math:nothing", "nothing")],
)
def test_a_broken_third_party_policy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, word: str):
    install(tmp_path, monkeypatch, theirs=target)
    assert "theirs" in registry.names()
    with pytest.raises(registry.PolicyError, match=rf"theirs.*{word}"):
        registry.create("theirs")


def test_a_third_party_policy_must_answer_to_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, monkeypatch, theirs="radixdeck.policies.lru:Lru")
    with pytest.raises(registry.PolicyError, match="calls itself 'lru'"):
        registry.create("theirs")


def test_listing_names_imports_no_policy():
    code = "import sys; from radixdeck.policies.registry import names; names(); print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("by", "cause"),
    [("operator", "operator"), ("ann@desk", "operator"), ("ann", "operator"), ("kv_caching", "policy")],
)
def test_who_is_no_policy_is_a_person(by: str, cause: str) -> None:
    assert registry.cause_of_order(by) == cause
