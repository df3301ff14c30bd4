"""Names that do not hold: made up for each request or drawn by chance. Then what is sent tells who asks."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from radixdeck.policies.events import NamesDoubted
from radixdeck.policies.identity.identities import Identities, Who
from radixdeck.policies.identity.names_hold import NamesHold

CHAT = "/v1/chat/completions"
AGENTS = ("planner", "coder", "critic")

Naming = Callable[[int, str, str], tuple[str, str]]
"""From the number of a request, its agent and its session to what its caller says of both."""


def honest(_number: int, agent: str, session: str) -> tuple[str, str]:
    return agent, session


def made_up(number: int, _agent: str, _session: str) -> tuple[str, str]:
    return f"agent {number}", f"request {number}"


def nobody(*_: object) -> tuple[str, str]:
    return "", ""


class Callers:
    """Sessions of three agents in turn, each with a history of its own that begins with the session's task. `asked`:
    the agent, the session and the daemon's word on both."""

    def __init__(self, ids: Identities | None = None, **headers: str) -> None:
        self.ids = ids or Identities()
        self.asked: list[tuple[str, str, Who]] = []
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._said: dict[tuple[str, str], list[str]] = {}

    def ask(self, agent: str, session: str, naming: Naming, system: str = "", words: str = "") -> Who:
        """`words`: all that is said in a session that begins; its task and some news if there are none."""
        number = len(self.asked)
        said = self._said.setdefault((agent, session), [] if words else [f"the task of {session}"])
        said += [words or f"news {number}"]
        messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]
        said += [f"answer {number}"]
        body = {"messages": [{"role": "system", "content": system or f"You are the {agent}."}, *messages]}
        names = dict(zip(("x-agent-id", "x-session-id"), naming(number, agent, session), strict=True))
        told = {header: name for header, name in names.items() if name}
        who = self.ids.identify({**self._headers, **told}, CHAT, body, None, float(number))
        self.asked.append((agent, session, who))
        return who

    def talk(self, naming: Naming, sessions: range, rounds: int = 3, agents: Sequence[str] = AGENTS) -> Callers:
        for _ in range(rounds):
            for agent in agents:
                for session in sessions:
                    self.ask(agent, f"s{session}", naming)
        return self

    @property
    def doubts(self) -> list[NamesDoubted]:
        return [fact for *_, who in self.asked for fact in who.doubts]

    def told_apart(self, since: int) -> bool:
        """Whether from that request on each agent and each session has one name, and no two have the same."""
        late = self.asked[since:]
        agents = {(agent, who.agent) for agent, _, who in late}
        sessions = {(session, who.session) for _, session, who in late}
        return all(
            len(pairs) == len({true for true, _ in pairs}) == len({name for _, name in pairs})
            for pairs in (agents, sessions)
        )


def test_honest_names_are_what_agents_and_sessions_are_called() -> None:
    callers = Callers().talk(honest, range(20))
    assert all((agent, session) == (who.agent, who.session) for agent, session, who in callers.asked)
    assert not callers.doubts
    assert callers.told_apart(0)


def test_a_new_name_with_each_request_is_soon_not_gone_by() -> None:
    callers = Callers().talk(made_up, range(4)).talk(made_up, range(10, 20))
    assert {(fact.what, fact.doubted) for fact in callers.doubts} == {("agents", True), ("sessions", True)}
    assert all(fact.held < 0.25 for fact in callers.doubts)
    assert callers.told_apart(since=36)


def test_names_drawn_by_chance_are_not_gone_by() -> None:
    drawn = random.Random(7)
    named: Naming = lambda *_: (f"agent{drawn.randrange(12)}", f"s{drawn.randrange(40)}")  # noqa: E731
    many = [f"agent {n}" for n in range(16)]
    callers = Callers().talk(named, range(8), agents=many).talk(named, range(10, 14), agents=many)
    assert {fact.what for fact in callers.doubts} == {"agents", "sessions"}
    assert callers.told_apart(since=16 * 8 * 3)


def test_only_the_kind_of_name_that_does_not_hold_is_doubted() -> None:
    callers = Callers().talk(lambda number, agent, _: (agent, f"request {number}"), range(8))
    assert {fact.what for fact in callers.doubts} == {"sessions"}
    assert all(agent == who.agent for agent, _, who in callers.asked)


def test_a_conversation_that_begins_is_called_what_its_caller_says() -> None:
    callers = Callers().talk(made_up, range(4))
    first = callers.ask("planner", "s50", made_up)
    assert first.session == f"request {len(callers.asked) - 1}"
    assert callers.ask("coder", "s50", made_up).session == first.session


def test_a_name_that_another_conversation_had_is_not_given_again() -> None:
    callers = Callers().talk(made_up, range(4))
    taken = callers.asked[0][2].session
    assert callers.ask("planner", "s50", lambda *_: ("someone", taken)).session != taken


def test_an_end_is_told_of_the_session_by_what_its_caller_called_it_last() -> None:
    callers = Callers().talk(made_up, range(4))
    first = callers.ask("planner", "s50", made_up)
    callers.ask("planner", "s50", made_up)
    said = f"request {len(callers.asked) - 1}"
    assert said != first.session
    assert callers.ids.session_name(said, {}, None) == first.session
    assert callers.ids.session_name("nobody's", {}, None) == "nobody's"


def test_names_that_hold_again_are_believed_again() -> None:
    callers = Callers().talk(made_up, range(4)).talk(honest, range(10, 30))
    assert {(fact.what, fact.doubted) for fact in callers.doubts[2:]} == {("agents", False), ("sessions", False)}
    who = callers.ask("critic", "s99", honest)
    assert (who.agent, who.session, who.declared) == ("critic", "s99", True)


def test_an_honest_agent_keeps_its_name_where_others_are_doubted() -> None:
    callers = Callers()
    callers.ask("planner", "s0", honest)
    for number in range(40):
        callers.ask("coder", f"s{number}", made_up)
    assert [fact.what for fact in callers.doubts] == ["agents"]
    assert callers.ask("planner", "s1", honest).agent == "planner"
    made = callers.ask("coder", "s41", made_up)
    assert (made.agent, made.declared) == ("agent 1", False)


def test_an_honest_agent_of_many_prompts_keeps_its_name_where_others_are_doubted() -> None:
    callers = Callers()
    for number in (0, 1, 0, 1, 0, 1):
        callers.ask("planner", f"s{number}", honest, system=f"Today is day {number}.")
    for number in range(40):
        callers.ask("coder", f"s{number}", made_up)
    assert [fact.what for fact in callers.doubts] == ["agents"]
    for number in (0, 1, 2, 3):
        who = callers.ask("planner", f"s{number}", honest, system=f"Today is day {number}.")
        assert (who.agent, who.declared) == ("planner", True)
    assert callers.ask("planner", "s1", nobody, system="Today is day 1.").agent == "planner"


def test_an_honest_session_keeps_its_name_for_all_its_agents_where_others_are_doubted() -> None:
    callers = Callers()
    for _ in range(4):
        callers.ask("planner", "s0", honest)
    for number in range(60):
        callers.ask("coder", f"task {number % 20}", lambda number, *_: ("coder", f"request {number}"))
    assert [fact.what for fact in callers.doubts] == ["sessions"]
    for agent in ("planner", "critic", "tester"):
        assert callers.ask(agent, "s0", honest, words=f"what a {agent} is told").session == "s0"
    assert callers.ids.session_name("s0", {}, None) == "s0"


def test_tenants_are_judged_apart() -> None:
    ids = Identities()
    Callers(ids, x_tenant_id="acme").talk(made_up, range(4))
    assert not Callers(ids).talk(honest, range(4)).doubts
    assert Callers(ids, x_tenant_id="acme").ask("planner", "s1", made_up).agent.startswith("acme/agent")


def test_doubt_can_be_switched_off() -> None:
    callers = Callers(Identities(doubts=False)).talk(made_up, range(4))
    assert not callers.doubts
    assert [who.session for *_, who in callers.asked] == [f"request {n}" for n in range(len(callers.asked))]


@pytest.mark.parametrize("calls", [1, 3])
def test_a_prompt_that_all_agents_of_a_session_have_says_nothing_of_their_names(calls: int) -> None:
    callers = Callers()
    for number in range(20):
        for agent in AGENTS * calls:
            callers.ask(agent, f"s{number}", honest, system=f"We work on task {number}.")
    assert not callers.doubts


def test_agents_that_take_turns_under_one_prompt_are_not_doubted() -> None:
    callers = Callers()
    for number in range(30):
        for agent in AGENTS:
            callers.ask(agent, f"s{number}", honest, system="You debate.")
    assert not callers.doubts


def test_a_few_agents_that_share_a_few_prompts_are_not_doubted() -> None:
    callers = Callers()
    for number in range(30):
        for agent in AGENTS:
            for system in ("You help, with tools.", "You help."):
                assert callers.ask(agent, f"s{number}", honest, system=system).agent == agent
    assert not callers.doubts


@pytest.mark.parametrize("live", [30, 200])
def test_many_sessions_that_begin_with_the_same_words_are_not_doubted(live: int) -> None:
    callers = Callers()
    for number in range(live + 60):
        callers.ask("bot", f"s{number}", honest, words="hi")
        if number >= live:
            callers.ask("bot", f"s{number - live}", honest)
    assert not callers.doubts
    assert all(session == who.session for _, session, who in callers.asked)


def test_lumps_are_not_doubted() -> None:
    callers = Callers().talk(lambda *_: ("everybody", "everything"), range(8))
    assert not callers.doubts


def test_branches_of_a_conversation_under_names_of_their_own_count_once() -> None:
    ids = Identities()

    def ask(session: str, *turns: str) -> Who:
        messages = [{"role": "user", "content": turn} for turn in turns]
        return ids.identify({"x-agent-id": "a", "x-session-id": session}, CHAT, {"messages": messages}, None, 0.0)

    ask("trunk", "task")
    branches = [ask(f"branch {n}", "task", f"way {n}") for n in range(30)]
    assert [who.session for who in branches] == [f"branch {n}" for n in range(30)]


@pytest.mark.parametrize("body", [{}, {"messages": 7}, {"prompt": "raw"}, {"messages": [{"role": "user"}] * 3}])
def test_whatever_is_sent_under_doubted_names_is_answered(body: dict[str, Any]) -> None:
    callers = Callers().talk(made_up, range(4))
    for number in range(30):
        who = callers.ids.identify({"x-agent-id": f"x{number}", "x-session-id": f"y{number}"}, CHAT, body, None, 99.0)
        assert who.agent
        assert who.session


def test_names_are_doubted_below_a_quarter_and_believed_above_a_half() -> None:
    names = NamesHold()
    changes = [names.see(False) for _ in range(20)]
    assert changes.index(True) == 12
    assert sum(changes) == 1
    while not names.see(True):
        assert names.held <= 0.5
    assert not names.doubted


def test_a_team_of_one_kind_that_asks_once_each_is_believed() -> None:
    callers = Callers()
    for number in range(12):
        callers.ask("worker", f"part {number}", lambda number, *_: (f"worker {number}", f"part {number}"))
    assert not callers.doubts
    assert [who.agent for *_, who in callers.asked] == [f"worker {number}" for number in range(12)]
