"""Safety: what the rules say is what becomes of a request, and rules that cannot be used are answered in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixdeck.policies.door.budgets import Budgets
from radixdeck.policies.door.safety_rules import read_rules
from radixdeck.policies.doorkeeping import Asked, Doorkeeper, Entered, Left, Ruled, RulesError, Verdict
from radixdeck.policies.safety import Safety


def asked(agent: str = "coder", **more: Any) -> Asked:
    return Asked(rid=more.pop("rid", "r1"), agent=agent, **more)


def ruled(rules: str) -> Safety:
    safety = Safety()
    safety.obey(rules)
    return safety


def use(safety: Safety, request: Asked, t_s: float, spent: int = 0) -> None:
    safety.notice(Entered(t_s=t_s, asked=request))
    safety.notice(Left(t_s=t_s, asked=request, entered=True, prompt_tokens=spent, output_tokens=0))


def test_it_keeps_the_contract_and_says_nothing_without_rules() -> None:
    safety = Safety()
    assert isinstance(safety, Doorkeeper)
    assert isinstance(safety, Ruled)
    assert safety.admit(asked(tools=("rm",), models=("any",), output_tokens=10**9), 0.0) == Verdict()


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (asked(tools=("search", "shell")), "agent 'coder' may not use tool 'shell'; allowed: search, read_*"),
        (asked(tools=("search", "read_file")), ""),
        (asked(models=("gpt",)), "agent 'coder' may not use model 'gpt'"),
        (asked(models=("qwen3", "qwen-lora")), ""),
        (asked("other", tools=("shell",), models=("qwen3",)), ""),
        (asked("acme/x", tenant="acme", models=("qwen3",)), "tenant 'acme' may not use agent name 'acme/x'"),
        (asked("acme/planner", tenant="acme", models=("qwen3",), tools=("a",)), "tenant 'acme' may not use tool 'a'"),
        (asked("agent-1", called="coder", tools=("shell",)), "agent 'coder' may not use tool 'shell'"),
        (asked("agent-1", called="someone", tools=("shell",), models=("qwen3",)), ""),
        (asked("coder", called="someone", tools=("shell",)), "agent 'coder' may not use tool 'shell'"),
        (asked("acme/agent-1", called="acme/planner", tenant="acme", models=("qwen3",)), ""),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(request_: Asked, why: str) -> None:
    safety = ruled(
        """
        [everybody]
        models = ["qwen*"]
        [agents.coder]
        tools = ["search", "read_*"]
        [tenants.acme]
        agents = ["acme/planner"]
        tools = []
        """
    )
    verdict = safety.admit(request_, 0.0)
    assert (verdict.kind, verdict.status) == (("refuse", 403) if why else ("pass", 403))
    assert verdict.why.startswith(why)


def test_a_rate_is_refused_with_the_time_to_come_again() -> None:
    safety = ruled("[agents.coder]\nrequests_per_minute = 2")
    for number in range(2):
        assert safety.admit(asked(), 100.0).kind == "pass"
        use(safety, asked(rid=f"r{number}"), 100.0)
    verdict = safety.admit(asked(), 100.0)
    assert (verdict.kind, verdict.status, verdict.retry_in_s) == ("refuse", 429, 30.0)
    assert verdict.why == "agent 'coder' has used its 2 requests per minute"
    assert safety.admit(asked(), 130.0).kind == "pass"
    assert safety.admit(asked("other"), 100.0).kind == "pass"


def test_tokens_count_as_they_were_spent_and_a_tenants_agents_share_its_budget() -> None:
    safety = ruled("[tenants.acme]\ntokens_per_minute = 600")
    one, other = asked("acme/a", tenant="acme", about_tokens=500), asked("acme/b", tenant="acme", about_tokens=500)
    safety.notice(Entered(t_s=0.0, asked=one))
    assert safety.admit(other, 0.0).retry_in_s == pytest.approx(40.0)
    safety.notice(Left(t_s=0.0, asked=one, entered=True, prompt_tokens=80, output_tokens=20))
    assert safety.admit(other, 0.0).kind == "pass"
    use(safety, other, 0.0, spent=1_000)
    assert safety.admit(asked("acme/c", tenant="acme"), 0.0).retry_in_s == pytest.approx(50.0)


def test_what_never_entered_costs_nothing_and_unknown_requests_do_no_harm() -> None:
    safety = ruled("[everybody]\nrequests_per_minute = 1\ntokens_per_minute = 10")
    safety.notice(Left(t_s=0.0, asked=asked(), entered=False))
    safety.notice(Left(t_s=0.0, asked=asked(rid="of before it was on"), entered=True))
    assert safety.admit(asked(), 0.0).kind == "pass"


@pytest.mark.parametrize(
    ("rules", "wanted", "verdict"),
    [
        ("[everybody]\nmax_output_tokens = 50", 90, Verdict(limit_tokens=50)),
        ("[everybody]\nmax_output_tokens = 50", None, Verdict(limit_tokens=50)),
        ("[everybody]\nmax_output_tokens = 50\n[tenants.default]\nmax_output_tokens = 20", 9, Verdict(limit_tokens=20)),
        ("[everybody]\nmax_output_tokens = 50\n[agents.coder]\nmax_output_tokens = 70", 90, Verdict(limit_tokens=70)),
        (
            '[everybody]\nmax_output_tokens = 50\nover_output = "refuse"',
            90,
            Verdict(kind="refuse", status=400, why="agent 'coder' may have 50 tokens of output, not 90"),
        ),
    ],
)
def test_output_is_cut_to_the_lowest_limit_or_refused_if_so_ruled(
    rules: str, wanted: int | None, verdict: Verdict
) -> None:
    assert ruled(rules).admit(asked(output_tokens=wanted), 0.0) == verdict


def test_new_rules_hold_at_once_and_do_not_forget_what_was_used() -> None:
    safety = ruled("[everybody]\nrequests_per_minute = 10")
    for _ in range(5):
        use(safety, asked(), 0.0)
    safety.obey("[everybody]\nrequests_per_minute = 5")
    assert safety.admit(asked(), 0.0).kind == "refuse"
    with pytest.raises(RulesError):
        safety.obey("nonsense")
    assert safety.admit(asked(), 0.0).kind == "refuse"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[everybody]\n\nmax_output = 5", r"line 3: everybody\.max_output: .*unknown field.*known: models, tools"),
        ("[agents.a]\ntools = []\n[agents.b]\ntools = 'x'", r"line 4: agents\.b\.tools: Expected `array.*got `str`"),
        ('[agents."acme/b c"]\nrequests_per_minute = 0', r"line 2: agents\.acme/b c\.requests_per_minute: .*>= 1"),
        ("[tenants.acme]\nmodels = [\n 'a',\n 7,\n]", r"line 2: tenants\.acme\.models: Expected `str`, got `int`"),
        ("[tenants.acme]\nover_output = 'drop'", r"line 2: tenants\.acme\.over_output: Invalid enum value 'drop'"),
        ("[everyone]\ntools = []", r"line 1: everyone: unknown table; known: everybody, agents, tenants"),
        ("agents = 3", r"line 1: agents: must be tables"),
        ("[agents]\ncoder = 3", r"line 2: agents\.coder: must be a table"),
        ("[everybody]\ntools = }", r"not valid TOML: .*line 2"),
    ],
)
def test_rules_that_cannot_be_used_are_answered_with_key_and_line(text: str, words: str) -> None:
    with pytest.raises(RulesError, match=words):
        read_rules(text)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 30)), max_size=40), st.floats(1, 50))
def test_no_period_ever_sees_more_than_two_budgets(steps: list[tuple[float, float]], limit: float) -> None:
    """Waiting as told, nobody uses more than a full budget and what refills meanwhile."""
    budgets, now_s, spent = Budgets(), 0.0, []
    for pause_s, amount in steps:
        now_s += pause_s
        now_s += budgets.wait_s(("a",), limit, 60.0, now_s, amount)
        budgets.charge(("a",), limit, 60.0, now_s, min(amount, limit))
        spent.append((now_s, min(amount, limit)))
    for start_s, _ in spent:
        within = sum(amount for at_s, amount in spent if start_s <= at_s <= start_s + 60.0)
        assert within <= 2 * limit * (1 + 1e-6)


def test_a_clock_that_goes_back_neither_refills_a_budget_nor_uses_it() -> None:
    budgets = Budgets()
    budgets.charge(("a",), 10.0, 60.0, 100.0, 5.0)
    assert budgets.used(("a",), 10.0, 60.0, 40.0) == 5.0
