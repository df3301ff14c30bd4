"""Which tool results a request brings, in the shapes of the three APIs; and that anything else counts as none."""

from __future__ import annotations

from typing import Any

import pytest
from front_harness import stack
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.daemon.front_tools import MAX_USES, read_uses
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.events import ToolMemoized

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"


def chat(*results: dict[str, Any], arguments: Any = '{"q": 1}') -> dict[str, Any]:
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": f"t{n}", "arguments": arguments}} for n in (1, 2)]
    old = [{"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "c1", "content": "old"}]
    return {"messages": [{"role": "user", "content": "go"}, *old, {"role": "assistant", "tool_calls": calls}, *results]}


def tool(call_id: Any, content: Any = "found") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def test_of_a_chat_what_came_after_the_last_answer() -> None:
    uses = read_uses(CHAT, chat(tool("c2"), tool("c1", "other")))
    assert [(use.tool, use.call_id, use.arguments) for use in uses] == [("t2", "c2", {"q": 1}), ("t1", "c1", {"q": 1})]
    assert uses[0].result != uses[1].result
    assert read_uses(CHAT, chat(tool("c2"), {"role": "user", "content": "and?"})) == ()


def test_of_messages() -> None:
    body = {
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "u1", "name": "read", "input": {"p": "a"}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "u1", "content": "x", "is_error": True}],
            },
        ]
    }
    (use,) = read_uses(MESSAGES, body)
    assert (use.tool, use.arguments, use.failed) == ("read", {"p": "a"}, True)


def test_of_responses() -> None:
    call = {"type": "function_call", "call_id": "f1", "name": "read", "arguments": '{"p": "a"}'}
    body = {"input": [call, {"type": "function_call_output", "call_id": "f1", "output": "x"}]}
    (use,) = read_uses(RESPONSES, body)
    assert (use.tool, use.arguments) == ("read", {"p": "a"})


@pytest.mark.parametrize(
    "body",
    [
        {}, {"messages": None}, {"messages": [3, None]}, {"messages": [tool("c1")]}, chat(tool("c9")), chat(tool(None)),
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c1", "function": 3}]}, tool("c1")]},
        {"messages": [{"role": "assistant", "tool_calls": "x"}, tool("c1")]},
    ],
)  # fmt: skip
def test_what_has_another_shape_counts_as_none(body: dict[str, Any]) -> None:
    assert read_uses(CHAT, body) == ()


def test_arguments_that_are_no_json_are_none() -> None:
    (use,) = read_uses(CHAT, chat(tool("c1"), arguments="{broken"))
    assert use.arguments is None


def test_no_more_than_so_many() -> None:
    assert len(read_uses(CHAT, chat(*[tool("c1")] * (MAX_USES + 50)))) == MAX_USES


JUNK = st.recursive(
    st.none() | st.integers() | st.sampled_from(["tool", "assistant", "tool_result", "function_call_output"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "tool_calls", "id", "input"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(
    st.sampled_from([CHAT, MESSAGES, RESPONSES, "/generate"]), st.fixed_dictionaries({"messages": JUNK, "input": JUNK})
)
def test_no_junk_raises(route: str, body: dict[str, Any]) -> None:
    assert isinstance(read_uses(route, body), tuple)


RULES = "[tools.t1]\nread_only = true\nttl_s = 600\n"


@pytest.mark.parametrize("on", [True, False])
async def test_the_front_lets_the_policy_hear_what_requests_bring(on: bool) -> None:
    host = DoorHost(["memoization"] if on else [], {"memoization": {"trials": 0}})
    host.obey("memoization", RULES)
    async with stack(door=Door(host, now_ns)) as made:
        for number in range(3):
            body = chat(tool(f"c{number}", "the same"))
            body["messages"][-2]["tool_calls"] = [{"id": f"c{number}", "function": {"name": "t1", "arguments": "{}"}}]
            await made.chat("", headers={"x-agent-id": "a", "x-session-id": "s"}, **body)
        assert made.upstream.last["messages"] == body["messages"]
        assert [(fact.what, fact.tool, fact.agent) for fact in made.of(ToolMemoized)] == (
            [("worth", "t1", "a")] if on else []
        )
