"""Which calls of tools may be made: what safety says of requests it says of them, and none of who is quarantined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixdeck.policies.doorkeeping import Asked, RulesError
from radixdeck.policies.safety import Safety
from radixdeck.policies.tools.calls import ToolCall
from radixdeck.policies.tools.permits import MAX_NODES, ToolPermits

RULES = """
[everybody]
tools = ["search", "read_*"]
models = ["none"]
requests_per_minute = 1
[agents.coder]
tools = ["shell"]
[agents."acme/planner"]
tools = ["*"]
[tenants.acme]
agents = ["acme/planner"]
tools = ["read_file", "shell"]
"""


def ruled(rules: str = RULES) -> ToolPermits:
    permits = ToolPermits()
    permits.obey(rules)
    return permits


@pytest.mark.parametrize(
    ("agent", "tenant", "tool", "why"),
    [
        ("", "default", "search", ""),
        ("anybody", "default", "read_file", ""),
        ("anybody", "default", "shell", "safety: agent 'anybody' may not use tool 'shell'; allowed: search, read_*"),
        ("coder", "default", "shell", ""),
        ("coder", "default", "search", "safety: agent 'coder' may not use tool 'search'; allowed: shell"),
        ("planner", "acme", "shell", ""),
        ("planner", "acme", "put", "safety: tenant 'acme' may not use tool 'put'"),
        ("coder", "acme", "read_file", "safety: tenant 'acme' may not use agent name 'acme/coder'"),
        ("anybody", "default", "", "safety: agent 'anybody' may not use tool ''"),
    ],
)
def test_a_tool_is_allowed_by_agent_and_by_tenant(agent: str, tenant: str, tool: str, why: str) -> None:
    permits = ruled()
    for _ in range(3):  # a call is no request: it uses up nothing
        said = permits.why_not(ToolCall(tool=tool, agent=agent, tenant=tenant))
        assert said.startswith(why)
        assert bool(said) == bool(why)


def test_without_rules_everything_is_allowed() -> None:
    assert ToolPermits().why_not(ToolCall(tool="rm", agent="anybody")) == ""
    assert not ToolPermits().ruled


@pytest.mark.parametrize(
    "garbage", ["[agents.coder]\ntool = []", "tools = [", "[everybody]\ntools = 'x'", "agents = 1"]
)
def test_rules_that_cannot_be_used_leave_the_former_ones(garbage: str) -> None:
    permits = ruled()
    with pytest.raises(RulesError):
        permits.obey(garbage)
    assert permits.why_not(ToolCall(tool="search", agent="coder")) != ""
    assert not ToolPermits().ruled


@given(tool=st.text(max_size=12), agent=st.sampled_from(["", "coder", "other"]))
def test_it_says_what_the_door_says(tool: str, agent: str) -> None:
    door = Safety()
    door.obey(RULES)
    verdict = door.admit(Asked(rid="r", agent=agent, tools=(tool,)), 0.0)
    said = ruled().why_not(ToolCall(tool=tool, agent=agent))
    assert said == (f"safety: {verdict.why}" if verdict.kind == "refuse" else "")


def test_who_is_quarantined_at_any_node_calls_nothing_until_that_node_says_otherwise() -> None:
    permits, call = ToolPermits(), ToolCall(tool="get", agent="coder")
    permits.quarantined_at("gpu1", ["coder", "other"])
    permits.quarantined_at("gpu2", [])
    assert permits.why_not(call) == "agent 'coder' is quarantined by the operator"
    assert permits.why_not(ToolCall(tool="get", agent="coder", tenant="acme")) == "", "another one"
    permits.quarantined_at("gpu1", ["other"])
    assert permits.why_not(call) == ""
    for on in (True, False):
        permits.quarantine("coder", on=on)
        assert bool(permits.why_not(call)) == on
    assert permits.why_not(ToolCall(tool="get", agent="other")) != ""


def test_nodes_are_bounded_and_those_that_speak_stay() -> None:
    permits = ToolPermits()
    for number in range(2 * MAX_NODES):
        permits.quarantined_at("gpu1", ["coder"])
        permits.quarantined_at(f"n{number}", ["x"])
    assert permits.why_not(ToolCall(tool="get", agent="coder")) != ""


def test_nodes_that_quarantine_nobody_push_nobody_out() -> None:
    permits = ToolPermits()
    permits.quarantined_at("gpu-gone", ["coder"])
    permits.quarantine("other", on=True)
    for number in range(2 * MAX_NODES):
        permits.quarantined_at(f"mcp-{number}", [])
    assert permits.is_quarantined("coder")
    for number in range(2 * MAX_NODES):
        permits.quarantined_at(f"gpu{number}", ["x"])
    assert permits.is_quarantined("other"), "what was said here is pushed out by nobody"
