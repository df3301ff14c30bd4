"""The case of hedging: few long pages among many short questions, each at a time of its own."""

from __future__ import annotations

from radixdeck.demos.policy_cases_hedging import GAP_S, PAGE_TOKENS, QUESTIONS_PER_PAGE, QUICK, READER, behind_a_page


def test_a_page_now_and_then_and_questions_at_times_of_their_own() -> None:
    turns = behind_a_page(101, 200)
    assert [turn.think_s for turn in turns] == [number * GAP_S for number in range(200)]
    assert len({turn.session for turn in turns}) == 200
    pages = [turn for turn in turns if turn.agent == READER]
    assert len(pages) == 200 // QUESTIONS_PER_PAGE
    assert all(len(page.messages[0]["content"]) > 2 * PAGE_TOKENS for page in pages)
    questions = [turn for turn in turns if turn.agent.startswith(QUICK)]
    assert len(questions) == 200 - len(pages)
    assert len({turn.messages[0]["content"] for turn in questions}) == len({turn.agent for turn in questions}) == 3
    assert len({turn.messages[1]["content"] for turn in questions}) > 190
    assert len({page.messages[0]["content"] for page in pages}) == len(pages)
