"""The guard: it gives way where the policy's order loses, not where it wins, and comes back."""

from __future__ import annotations

import msgspec
import pytest
from blocks import PROMPT_TOKENS, inserted, matched, started

from radixdeck.policies.events import CacheFlushed, PolicySwitched
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.primitives import Subject
from radixdeck.policies.reuse.guard import DOUBTED, FIRST_REST, LONGEST_REST, TRUSTED, WINDOW, YOUNG, Guard
from radixdeck.policies.reuse.shadow import BLOCK_TOKENS

MARGIN = 0.01


def served(guard: Guard, numbers: range, cached: int, paths: int = 2) -> Guard:
    """Prompts take turns; all of them would be found under LRU, and `cached` tokens of each are."""
    for number in numbers:
        guard.matched(matched(number, number % paths, cached), MARGIN)
        guard.inserted(inserted(number))
    return guard


def new_guard() -> Guard:
    guard = Guard()
    guard.heard(started(4 * PROMPT_TOKENS))
    return guard


def test_it_gives_way_when_lru_would_have_served_more():
    assert served(new_guard(), range(40), cached=0).resting > 0


def test_the_shadow_keeps_what_it_holds_where_the_tree_is_told_anew_and_loses_it_with_a_flush():
    for told_anew, gives_way in ((True, True), (False, False)):
        guard = served(new_guard(), range(2), cached=PROMPT_TOKENS)
        guard.heard(CacheFlushed(t_ns=1, told_anew=told_anew))
        assert (served(guard, range(2, 4), cached=0).lead_tokens > 0) == gives_way


def test_two_prompts_that_lru_would_have_served_are_no_reason_among_the_first_few_either():
    guard = served(new_guard(), range(4), cached=0)
    assert guard.lead_tokens == pytest.approx(2 * PROMPT_TOKENS, rel=0.01)
    assert guard.resting == 0
    assert served(guard, range(4, 5), cached=0).resting == FIRST_REST


def losing_after(serving: int, names_hold: float = 1.0) -> int:
    """How many prompts that LRU would have found it loses before the guard gives way, once so many were served."""
    guard = served(new_guard(), range(serving), cached=PROMPT_TOKENS)
    guard.names_hold = names_hold
    return next(n for n in range(1, 100) if served(guard, range(serving + n, serving + n + 1), cached=0).resting)


def ups_and_downs() -> Guard:
    """Every second prompt is found by LRU alone, the others were served and would not have been under LRU."""
    guard = new_guard()
    for number in range(60):
        event = matched(number, 0) if number % 2 else matched(number, 10 + number, PROMPT_TOKENS)
        guard.matched(event, MARGIN)
        guard.inserted(inserted(number))
    return guard


def test_a_lead_as_chance_gives_it_is_put_up_with_where_prompts_differ_much():
    guard = served(ups_and_downs(), range(60, 65), cached=0, paths=1)
    assert guard.resting == 0
    assert guard.lead_tokens > 2 * MARGIN * WINDOW * PROMPT_TOKENS
    assert served(guard, range(65, 90), cached=0, paths=1).resting > 0


def test_what_was_chance_for_another_policy_is_none_for_this_one():
    guard = ups_and_downs()
    guard.begin()
    assert served(guard, range(60, 65), cached=0, paths=1).resting > 0


def test_a_policy_that_is_young_and_serves_may_lose_a_little_more():
    assert losing_after(serving=YOUNG // 2) == 6, "two by which it leads, the margin's two, a tenth of what was served"
    assert losing_after(serving=0) == 5, "two that LRU would not have found either, and three that are no chance"
    old = served(new_guard(), range(20 * YOUNG), cached=PROMPT_TOKENS)
    served(old, range(20 * YOUNG, 20 * YOUNG + 3), cached=0)
    assert old.resting == FIRST_REST, "what it served long ago is forgotten"


def test_a_loss_now_and_then_is_no_chance_for_ever():
    """One prompt in 170 is as long as eight others, and LRU alone would have served it: each such loss has faded so far
    when the next one comes that chance explains both."""
    guard, long_tokens, lost = new_guard(), 8 * PROMPT_TOKENS, 0
    guard.heard(started(24 * PROMPT_TOKENS))
    for number in range(170 * 40):
        long, resting = number % 170 == 0, guard.resting
        event = matched(number, 9, 0, prompt_tokens=long_tokens) if long else matched(number, 1, PROMPT_TOKENS)
        guard.matched(event, MARGIN)
        guard.inserted(inserted(number))
        lost += long and not resting
    assert 3 < lost < 20


def test_less_is_put_up_with_where_names_do_not_hold():
    assert losing_after(YOUNG // 2, names_hold=TRUSTED) == losing_after(YOUNG // 2)
    assert losing_after(YOUNG // 2, names_hold=DOUBTED) < losing_after(YOUNG // 2)
    assert losing_after(YOUNG // 2, names_hold=0.0) == losing_after(YOUNG // 2, names_hold=DOUBTED)


def test_no_credit_is_left_after_a_rest():
    guard = served(new_guard(), range(YOUNG // 2), cached=PROMPT_TOKENS)
    guard.names_hold = DOUBTED
    served(guard, range(100, 110), cached=0)
    assert guard.resting
    served(guard, range(200, 200 + FIRST_REST), cached=PROMPT_TOKENS)
    assert served(guard, range(400, 401), cached=0).resting == 2 * FIRST_REST


def test_it_stays_when_as_much_or_more_is_served_or_when_told_to():
    assert served(new_guard(), range(200), cached=PROMPT_TOKENS).resting == 0
    beyond = served(new_guard(), range(200), cached=PROMPT_TOKENS, paths=8)
    assert (beyond.resting, beyond.lead_tokens < 0) == (0, True)
    never = new_guard()
    for number in range(100):
        never.matched(matched(number, number % 2), 1.0)
        never.inserted(inserted(number))
    assert never.resting == 0


def test_it_comes_back_after_a_rest_with_less_patience_and_rests_longer_the_next_time():
    guard = new_guard()
    first = next(number for number in range(400) if served(guard, range(number, number + 1), 0).resting)
    assert guard.resting == FIRST_REST
    served(guard, range(1000, 1000 + FIRST_REST), PROMPT_TOKENS)
    assert guard.resting == 0
    again = next(number for number in range(2000, 2400) if served(guard, range(number, number + 1), 0).resting)
    assert again - 2000 < first
    assert guard.resting == 2 * FIRST_REST


def test_the_policy_scores_like_lru_while_the_guard_rests_and_says_so():
    policy = KvCaching()
    policy.tunables.set("guard_margin", MARGIN)
    policy.observe(started(4 * PROMPT_TOKENS))
    for number in range(40):
        policy.observe(matched(number, number % 2))
        policy.observe(inserted(number))
    scores = [policy.score(Subject(role, ("coder",)), 70.0) for role in ("anchor", "private")]
    assert [score.key for score in scores] == [0.0, 0.0]
    assert scores[0].parts["guard_dispatches"] > 0
    assert policy.tells() == scores[0].parts
    policy.observe(PolicySwitched(t_ns=70 * 10**9, policy="kv_caching", enabled=True))
    assert policy.tells() == {}, "what another policy lost is not held against this one"
    policy.observe(CacheFlushed(t_ns=10**12))


ANCHOR_TOKENS = PROMPT_TOKENS // 2


def suspicion(base_tokens: int = ANCHOR_TOKENS, session: str = "s{}", agent: str = "coder") -> float:
    """Of the guard after twenty prompts that repeat so much of an earlier one; `{}` stands for a prompt's number."""
    policy = KvCaching()
    for number in range(20):
        event = matched(number, number, anchor_tokens=ANCHOR_TOKENS, base_rid="r0", base_tokens=base_tokens)
        named = msgspec.structs.replace(event, session=session.format(number), agent=agent.format(number))
        policy.observe(named)
    return 1.0 - policy._guard.names_hold  # pyright: ignore[reportPrivateUsage]


def test_names_are_believed_where_what_they_promise_comes_true():
    assert suspicion() < 0.1, "new sessions begin with the anchor"
    assert suspicion(PROMPT_TOKENS, session="s") < 0.1, "one session goes on"
    assert suspicion(40, agent="a{}") < 0.1, "new agents of one template"


def test_names_are_not_believed_where_prompts_belie_them():
    assert suspicion(PROMPT_TOKENS) > 0.8, "new sessions go on"
    assert suspicion(40) > 0.8, "one agent has many anchors"
    assert suspicion(session="s") > 0.8, "one session is many"
    assert suspicion(PROMPT_TOKENS - 24, agent="a{}") > 0.8, "new agents go on"


def test_it_is_forgiven_while_the_policy_leads():
    guard = served(new_guard(), range(10), cached=0)
    assert guard.resting
    served(guard, range(1000, 1000 + 6 * FIRST_REST), PROMPT_TOKENS, paths=8)
    while not guard.resting:
        served(guard, range(2000, 2001), cached=0, paths=1)
    assert guard.resting == FIRST_REST


def test_what_was_chance_before_a_rest_is_none_after_it():
    guard = served(ups_and_downs(), range(60, 90), cached=0, paths=1)
    assert guard.resting
    served(guard, range(90, 90 + guard.resting), cached=PROMPT_TOKENS, paths=1)
    assert served(guard, range(400, 403), cached=0, paths=1).resting > 0


@pytest.mark.parametrize(("trims", "found_blocks"), [(1.0, 4), (0.0, 0)])
def test_lru_is_held_against_the_policy_with_the_same_victims_pages_or_whole_leaves(trims: float, found_blocks: int):
    """A cache of twelve blocks holds a prompt of eight; four of them make room for the next one, or all."""
    host = PolicyHost(["kv_caching"], {"kv_caching": {"trim_victims": trims}})
    policy = host._seats["kv_caching"].policy  # pyright: ignore[reportPrivateUsage]
    assert isinstance(policy, KvCaching)
    for event in (started(12 * BLOCK_TOKENS), matched(0, 0), inserted(0), matched(1, 1), inserted(1)):
        host.observe(event)
    shadow = policy._guard.shadow  # pyright: ignore[reportPrivateUsage]
    assert shadow.asked(matched(2, 0))[0] == found_blocks * BLOCK_TOKENS


def test_it_rests_for_as_long_as_names_do_not_hold():
    guard = served(new_guard(), range(10), cached=0)
    guard.names_hold = DOUBTED / 2
    served(guard, range(1000, 1000 + 2 * FIRST_REST), cached=PROMPT_TOKENS)
    assert guard.resting == 1
    before = guard.rests_at_most
    assert FIRST_REST < before <= LONGEST_REST
    assert served(guard, range(1999, 2000), cached=PROMPT_TOKENS).rests_at_most == before - 1
    guard.names_hold = TRUSTED
    assert guard.rests_at_most == 1
    served(guard, range(2000, 2001), cached=PROMPT_TOKENS)
    assert guard.resting == 0


def test_it_does_not_rest_for_ever_where_nothing_tells_whether_names_hold():
    guard = served(new_guard(), range(10), cached=0)
    guard.names_hold = DOUBTED / 2
    while guard.resting > 1:
        served(guard, range(1000, 1001), cached=PROMPT_TOKENS)
    served(guard, range(1000, 1000 + LONGEST_REST), cached=PROMPT_TOKENS, paths=1)
    assert guard.resting == 1
    served(guard, range(1000, 1001), cached=PROMPT_TOKENS)
    assert guard.resting == 0
