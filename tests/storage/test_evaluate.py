"""The evaluator against cases worked out by hand: hits, the gap, warm-ups and what becomes of them."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.demos.families import variants
from radixdeck.demos.stream_spec import Call, StreamSpec
from radixdeck.demos.stream_tell import BEGIN_NS, tell
from radixdeck.demos.streams import generate_stream
from radixdeck.policies import host
from radixdeck.policies.events import EngineEvent, NodeEvicted, PrefixMatched
from radixdeck.policies.parameters import Tunable, TunableError
from radixdeck.policies.primitives import Action, BasePolicy, Score, Subject
from radixdeck.policies.registry import PolicyError
from radixdeck.policies.tree.trimming import LEAST_TOKENS
from radixdeck.storage.atoms import PrefixHasher, Prompt, common, length
from radixdeck.storage.evaluate import Prefetch, evaluate
from radixdeck.storage.prefetch_waste import Waste
from radixdeck.storage.streams import Stream

ANCHOR: Prompt = (("system x", 10),)


def call(start_s: float, prompt: Prompt, *, agent: str = "x", session: str = "s", took_s: float = 1.0) -> Call:
    """A request whose prompt is in after half of its time, with an output of two tokens."""
    return Call(
        start_s=start_s, prefilled_s=start_s + took_s / 2, finish_s=start_s + took_s, session=session, agent=agent,
        prompt=prompt, output=((f"out {start_s}", 2),), anchor_atoms=1, fingerprint=prompt[0][0],
    )  # fmt: skip


def task(name: str, tokens: int = 5, anchor: Prompt = ANCHOR) -> Prompt:
    return (*anchor, (name, tokens))


def turns() -> Stream:
    """x (15 tokens), y (15), x again behind the same anchor; two tokens of output each."""
    other: Prompt = (("system y", 10),)
    calls = [call(1, task("a")), call(3, task("b", anchor=other), agent="y"), call(8, task("c"), session="t")]
    return tell("turns", calls)


class Scripted(BasePolicy):
    """Keeps or drops by a table of the test's, and asks for warm-ups from the times on that the test lists."""

    name: ClassVar[str] = "scripted"
    slot: ClassVar[str] = "eviction"
    declares: ClassVar[tuple[Tunable, ...]] = (Tunable("weight", 1.0, 0.0, 2.0, "", "Nothing"),)
    worth: ClassVar[dict[str, float]] = {}
    asks: ClassVar[list[tuple[float, Action]]] = []
    splits_anchors: ClassVar[bool] = False
    trims_victims: ClassVar[bool] = False

    def score(self, subject: Subject, now_s: float) -> Score:
        return Score(self.worth.get(subject.role, 0.0))

    def act(self, now_s: float) -> list[Action]:
        due = [action for from_s, action in self.asks if from_s + BEGIN_NS / 1e9 <= now_s]
        del self.asks[: len(due)]
        return due


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    make = host.create
    monkeypatch.setattr(host, "create", lambda name: Scripted() if name == "scripted" else make(name))
    monkeypatch.setattr(Scripted, "worth", {})
    monkeypatch.setattr(Scripted, "asks", [])
    monkeypatch.setattr(Scripted, "splits_anchors", False)
    monkeypatch.setattr(Scripted, "trims_victims", False)
    return Scripted


# ---- evictions -------------------------------------------------------------------------------------------------------


def test_lru_and_the_best_by_hand():
    """17 + 17 tokens do not fit into 30: LRU drops x's output and then its whole prompt; the best keeps 10 of it, all
    that is wanted again, and needs 10 + 17 tokens for it at the finish of y."""
    stream = turns()
    assert stream.prompt_tokens == 45
    assert stream.working_set_tokens == 27
    for kv_tokens, lru, best in ((34, 10, 10), (30, 0, 10), (27, 0, 10), (26, 0, 9), (17, 0, 0)):
        seen = evaluate(stream, "lru", kv_tokens)
        assert (seen.cached_tokens, seen.lru_tokens, seen.best_tokens) == (lru, lru, best)
    assert (seen.requests, seen.prompt_tokens, seen.hit_rate, seen.gap_closed) == (3, 45, 0.0, None)


def test_the_gap_is_the_share_of_the_way_from_lru_to_the_best(scripted: type[Scripted]):
    scripted.worth = {"anchor": 1.0}
    whole = evaluate(turns(), "scripted", 30)
    assert (whole.cached_tokens, whole.gap_closed) == (0, 0.0)
    scripted.splits_anchors = True
    split = evaluate(turns(), "scripted", 30)
    assert (split.cached_tokens, split.gap_closed, split.hit_rate) == (10, 1.0, 10 / 45)
    assert evaluate(turns(), "scripted", 30, splits_anchors=False).cached_tokens == 0


def test_a_victim_loses_no_more_than_is_needed_and_what_stays_is_as_old_as_it_was(scripted: type[Scripted]):
    """Prompts of 400 tokens and outputs of two in a cache of 1,000: the third takes the first one's output and 202
    tokens of its prompt, and the least piece for an output of its own. What stays is a hit, but not once a fourth has
    come: it is still the oldest."""
    calls = [call(3 * n, ((name, 400),), agent=name, session=name) for n, name in enumerate("abc")]
    again = [*calls, call(9, (("a", 400),), agent="a", session="later")]
    late = [*calls, call(9, (("d", 400),), agent="d"), call(12, (("a", 400),), agent="a", session="later")]
    assert evaluate(tell("again", again), "scripted", 1000).cached_tokens == 0
    scripted.trims_victims = True
    assert evaluate(tell("again", again), "scripted", 1000).cached_tokens == 400 - 202 - LEAST_TOKENS
    assert evaluate(tell("late", late), "scripted", 1000).cached_tokens == 0


def test_every_event_of_the_engine_is_told():
    told: list[EngineEvent] = []
    seen = evaluate(turns(), "lru", 30, take=told.append)
    assert seen.evictions == sum(isinstance(event, NodeEvicted) for event in told) > 0
    assert [event.cached_tokens for event in told if isinstance(event, PrefixMatched)] == [0, 0, 0]


def test_a_policy_that_raises_is_named_and_lru_goes_on(scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch):
    def fails(self: Scripted, subject: Subject, now_s: float) -> Score:
        raise RuntimeError("no idea")

    monkeypatch.setattr(scripted, "score", fails)
    seen = evaluate(turns(), "scripted", 30)
    assert seen.failures == ("scripted: score: RuntimeError: no idea",)
    assert seen.cached_tokens == seen.lru_tokens


def test_garbage_is_refused():
    stream = turns()
    with pytest.raises(ValueError, match="turns: a cache of 0 tokens"):
        evaluate(stream, "lru", 0)
    with pytest.raises(PolicyError, match="no policy named 'best_ever'"):
        evaluate(stream, "best_ever", 30)
    with pytest.raises(TunableError, match="has no tunable 'sharpness'"):
        evaluate(stream, "kv_caching", 30, tunables={"sharpness": 1})
    with pytest.raises(TunableError, match="turnover"):
        evaluate(stream, "kv_caching", 30, tunables={"turnover": -5})
    with pytest.raises(ValueError, match=r"tokens_per_s: 0 is not above 0"):
        Prefetch(tokens_per_s=0)


# ---- warm-ups --------------------------------------------------------------------------------------------------------


def test_without_prefetch_no_policy_is_asked(scripted: type[Scripted]):
    scripted.asks = [(0, Action("warm", agent="x"))]
    assert evaluate(turns(), "scripted", 30).warmed.asked == 0
    assert scripted.asks


def test_an_anchor_warmed_between_steps_is_found_and_counts_as_used(scripted: type[Scripted]):
    """After y nothing of x is there; its anchor of 10 tokens takes 2 of the 4 seconds in which nothing runs."""
    scripted.asks = [(4, Action("boost", agent="x")), (4, Action("warm", agent="x"))]
    told: list[EngineEvent] = []
    seen = evaluate(turns(), "scripted", 30, prefetch=Prefetch(tokens_per_s=5), take=told.append)
    assert seen.cached_tokens == 10
    warmed = seen.warmed
    assert (warmed.asked, warmed.done, warmed.tokens, warmed.used_tokens, warmed.wasted_tokens) == (1, 1, 10, 10, 0)
    assert [event.cached_tokens for event in told if isinstance(event, PrefixMatched)] == [0, 0, 0, 10]
    assert [event.warm for event in told if isinstance(event, PrefixMatched)] == [False, False, True, False]


def test_a_beginning_can_be_warmed_alone_and_takes_its_time(scripted: type[Scripted]):
    """4 of the anchor's 10 tokens take 2 of the 4 seconds in which nothing runs; not if starting takes longer."""
    for overhead_s, warmed in ((0.0, 4), (9.0, 0)):
        scripted.asks = [(4, Action("warm", agent="x", amount=4))]
        seen = evaluate(turns(), "scripted", 30, prefetch=Prefetch(tokens_per_s=2, overhead_s=overhead_s))
        assert (seen.warmed.tokens, seen.warmed.used_tokens, seen.warmed.lost_tokens) == (warmed, warmed, 0)


def test_policies_beside_the_one_that_is_judged_act_too_and_can_be_tuned():
    with pytest.raises(TunableError, match="speculation has no tunable 'sharpness'"):
        evaluate(turns(), "lru", 30, beside={"speculation": {"sharpness": 1}})
    stream = generate_stream(StreamSpec(seed=11, requests=250, topology="pipeline", agents=6, pause_s=6.0))
    size = stream.working_set_tokens // 3
    alone = evaluate(stream, "kv_caching", size, prefetch=Prefetch())
    beside = evaluate(stream, "kv_caching", size, prefetch=Prefetch(), beside={"speculation": {}})
    risk = evaluate(stream, "kv_caching", size, prefetch=Prefetch(), beside={"speculation": {"margin": 100.0}})
    assert alone.warmed.asked == 0 < beside.warmed.paths
    assert beside.cached_tokens > alone.cached_tokens
    assert beside.warmed.tokens > risk.warmed.tokens


def test_real_work_preempts_and_what_was_computed_is_lost(scripted: type[Scripted]):
    scripted.asks = [(4, Action("warm", agent="x"))]
    seen = evaluate(turns(), "scripted", 30, prefetch=Prefetch(tokens_per_s=1))
    assert seen.cached_tokens == 0
    warmed = seen.warmed
    assert (warmed.asked, warmed.done, warmed.preempted, warmed.tokens, warmed.used_tokens) == (1, 0, 1, 0, 0)
    assert warmed.lost_tokens == warmed.wasted_tokens == 3
    assert warmed.delay_s == pytest.approx(6, abs=0.1)


def test_real_work_waits_for_the_chunk_that_has_begun(scripted: type[Scripted]):
    """An anchor of 5,000 tokens at 1,000 a second: at 8 s its second chunk of 2,048 has 0.1 s to go."""
    large: Prompt = (("system x", 5_000),)
    calls = [call(1, task("a", anchor=large)), call(3, task("b", anchor=(("system y", 5_000),)), agent="y")]
    stream = tell("large", [*calls, call(8, task("c", anchor=large), session="t")])
    scripted.asks = [(4, Action("warm", agent="x"))]
    seen = evaluate(stream, "scripted", 5_500, prefetch=Prefetch(tokens_per_s=1_000))
    assert seen.warmed.preempted == 1
    assert seen.warmed.delay_s == pytest.approx(0.1, abs=0.02)


def test_what_nobody_asks_for_is_wasted_and_what_is_not_known_refused(scripted: type[Scripted]):
    warm = [("nobody", ""), ("x", "unheard of"), ("x", ""), ("y", "")]
    scripted.asks = [(4, Action("warm", agent=agent, session=session)) for agent, session in warm]
    seen = evaluate(turns(), "scripted", 20, prefetch=Prefetch(tokens_per_s=100))
    assert (seen.warmed.asked, seen.warmed.refused, seen.warmed.done, seen.warmed.paths) == (4, 2, 2, 1)
    assert (seen.warmed.tokens, seen.warmed.used_tokens, seen.warmed.wasted_tokens) == (20, 10, 10)


def test_a_path_is_the_last_prompt_and_output_of_the_session(scripted: type[Scripted]):
    """All 17 tokens of x's turn come back, of which its next prompt repeats all."""
    again = (*task("a"), ("out 1", 2), ("more", 3))
    calls = [call(1, task("a")), call(3, task("b", anchor=(("system y", 10),)), agent="y", session="t"), call(9, again)]
    stream = tell("again", calls)
    scripted.asks = [(4, Action("warm", agent="x", session="s"))]
    assert evaluate(stream, "scripted", 22).cached_tokens == 0
    seen = evaluate(stream, "scripted", 22, prefetch=Prefetch())
    assert (seen.cached_tokens, seen.warmed.tokens, seen.warmed.used_tokens) == (17, 17, 17)


@pytest.mark.parametrize("told", [None, False, True], ids=["no tools", "to itself", "to all"])
def test_where_agents_see_one_transcript_the_path_is_the_anchor_and_that(scripted: type[Scripted], told: bool | None):
    """Hand-overs show that each agent repeats what the one before it saw; then that is there before x asks. What a tool
    found is part of it only if others are shown it."""
    anchors: dict[str, Prompt] = {"x": ANCHOR, "y": (("system y", 10),)}
    said: Prompt = (("task", 4),)
    calls: list[Call] = []
    for turn in range(16):
        agent, found = "xy"[turn % 2], (*said, (f"result {turn}", 9))
        calls += [call(4.0 * turn, anchors[agent] + said, agent=agent)]
        if told is not None:
            calls += [call(4.0 * turn + 2, anchors[agent] + found, agent=agent)]
        said = (*(found if told else said), (f"said {turn}", 3))
    calls.append(call(70.0, ANCHOR + said))
    scripted.asks = [(66, Action("warm", agent="x", session="s"))]
    seen = evaluate(tell("talk", calls), "scripted", 10_000, prefetch=Prefetch())
    assert seen.warmed.paths == 1
    assert seen.warmed.used_tokens == seen.warmed.tokens == (3 + 9 if told else 3)


def test_spare_time_is_also_that_in_which_others_decode(scripted: type[Scripted]):
    """One request decodes for long; only the generous way of prefetching warms meanwhile."""
    long = Call(
        start_s=3, prefilled_s=3.1, finish_s=7.99, session="t", agent="y", prompt=(("system y", 10), ("b", 5)),
        output=(("out y", 2),), anchor_atoms=1, fingerprint="system y",
    )  # fmt: skip
    stream = tell("decoding", [call(1, task("a")), long, call(8, task("c"), session="u")])
    hits: dict[str, int] = {}
    for when in ("idle", "spare"):
        scripted.asks = [(3.5, Action("warm", agent="x"))]
        hits[when] = evaluate(stream, "scripted", 29, prefetch=Prefetch(when=when)).cached_tokens
    assert hits == {"idle": 0, "spare": 10}


def test_a_cache_that_is_over_full_lets_go_for_nobody() -> None:
    """A warm-up is called off while others hold more than there is room for: what goes then, goes for no batch."""
    stream = next(iter(variants("pipeline", None))).stream(11, requests=80)
    found = evaluate(
        stream, "kv_caching", round(0.25 * stream.working_set_tokens), prefetch=Prefetch(when="spare"),
        beside={"speculation": {"delay_weight": 0.0, "longest_step_s": 10.0}},
    )  # fmt: skip
    assert found.warmed.preempted > 0
    assert found.failures == ()


def test_tokens_that_were_evicted_before_their_use_are_not_used():
    waste, hashes = Waste(), PrefixHasher().hashes((("p", 20),))
    waste.warmed("x", hashes, 5)
    assert waste.asked("y", hashes, 20) == 0
    assert waste.asked("x", hashes, 12) == 7
    assert waste.asked("x", hashes, 20) == 0


# ---- prompts of atoms ------------------------------------------------------------------------------------------------

atoms = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=1, max_size=6).map(tuple)


@settings(deadline=None)
@given(atoms, atoms)
def test_prompts_share_as_many_hashes_as_tokens_of_leading_atoms(one: Prompt, other: Prompt):
    left, right = PrefixHasher().hashes(one), PrefixHasher().hashes(other)
    shared = length(one[: common(one, other)])
    assert len(left) == length(one)
    assert list(left[:shared]) == list(right[:shared])
    assert not set(map(int, left[shared:])) & set(map(int, right[shared:]))


def test_hashes_are_the_same_in_every_process():
    assert PrefixHasher().hashes((("a", 2), ("b", 1))).tolist() == [382488608, 2316247296, 1435050038]
