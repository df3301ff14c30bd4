"""Where sessions go by how lately they were at each agent, whoever that is."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np
import pytest

from radixdeck.policies.reuse.distances import (
    BEGUN,
    FARTHEST,
    KINDS,
    LARGEST,
    MOST_LATELY,
    NEW,
    PLACES,
    Distances,
    Known,
    Walk,
)
from radixdeck.policies.reuse.model import ReuseModel


def gone(*agents: int) -> Walk:
    """Of a session that was at these, one after the other, and is at the last one."""
    walk = Walk()
    for before, after in pairwise(agents):
        walk = walk.on(before, after)
    return walk


def counted(*walks: tuple[int, ...]) -> Distances:
    distances = Distances()
    for agents in walks:
        walk = Walk()
        for before, after in pairwise(agents):
            distances.moved(walk, after)
            walk = walk.on(before, after)
    return distances


def even(agents: int) -> np.ndarray:
    return np.full(agents, 1.0 / agents, np.float32)


def next_by(known: Known, walk: Walk, by_agents: np.ndarray) -> np.ndarray:
    """Where the session goes by distances alone."""
    known.mixed_into(row := by_agents.copy(), walk, 1.0)
    return row


def test_a_distance_is_how_many_agents_were_left_since_this_one_was():
    walk = gone(3, 1, 4, 1, 5)
    assert walk.others == bytes([1, 4, 3])
    assert walk.lately == (NEW, 1, NEW)
    assert [walk.distance(agent) for agent in (1, 4, 3, 9)] == [1, 2, 3, NEW]
    assert walk.without(4).others == bytes([1, 3])
    assert gone(*range(20)).distance(0) == NEW, "that is too long ago to be known"
    assert len(gone(*range(20)).others) == MOST_LATELY
    assert gone(*range(8)).distance(0) == FARTHEST
    assert Walk().lately == (BEGUN, BEGUN, BEGUN)


def test_what_one_team_does_is_expected_of_a_team_of_others():
    rounds = [(first, *range(first + 1, first + 5), *range(first + 1, first + 5)) for first in (0, 5, 10, 15)] * 5
    known = counted(*rounds).still()
    row = next_by(known, gone(30, 31, 32, 33, 34, 31), even(40))
    assert row[32] > 0.8, "who spoke before the others speaks next"
    opened = next_by(known, gone(30, 31), even(40))
    assert opened[30] < 0.05, "nobody speaks again before all have"
    assert opened.sum() - opened[30] > 0.9


def test_nothing_is_expected_of_agents_that_there_are_not():
    known = counted((1, 2, 3, 1, 2, 3, 1)).still()
    row = next_by(known, gone(1, 2), even(4))
    assert row.sum() == pytest.approx(1.0)
    assert (row >= 0.0).all()
    strangers = next_by(known, gone(1, 2), even(4) * 0.5)
    assert strangers.sum() < 0.9, "some of it is for agents that nobody has met"
    assert next_by(known, gone(1, 40), even(4)).shape == (4,)


def test_agents_far_back_share_what_goes_far_back():
    known = counted(*[(0, 1, 2, 3, 4, 5, 6, 0)] * 9).still()
    row = next_by(known, gone(0, 1, 2, 3, 4, 5, 6), even(10))
    assert row[0] == pytest.approx(row[1])
    assert row[0] > 2.0 * row[[2, 3, 4, 5]].max(), "each of four that it was at more lately, by distances of their own"


def test_few_moves_are_told_by_fewer_of_the_last_distances():
    many = counted(*[(0, 1, 2, 0, 1, 2, 0, 1, 2)] * 9).still()
    new_way = gone(7, 8, 7, 8, 9, 7)  # went back and forth before, as nobody has
    assert next_by(many, new_way, even(12))[8] > next_by(many, new_way, even(12))[9]


def test_counts_fade_and_do_not_run_over():
    distances, back = Distances(), gone(0, 1, 0, 1, 0)
    likely: list[float] = []
    for _ in range(3 * LARGEST):
        distances.moved(back, 1)
        likely.append(float(next_by(distances.still(), back, even(8))[1]))
    assert min(likely[100:]) > 0.95
    for _ in range(LARGEST):
        distances.moved(back, 5)
    assert next_by(distances.still(), back, even(8))[1] < 0.5


def test_what_is_known_stays_as_it_was():
    distances = counted((0, 1, 0, 1, 0))
    known, walk = distances.still(), gone(0, 1)
    before = next_by(known, walk, even(4)), known.right(walk)
    for _ in range(50):
        distances.moved(walk, 3)
        distances.told(walk, 0.01, 0.9)
    assert next_by(known, walk, even(4)) == pytest.approx(before[0])
    assert known.right(walk) == before[1] < distances.still().right(walk)


def test_the_discount_until_a_session_is_back_is_that_of_walking_on():
    """Four take turns: whoever was left before the last one is next but one."""
    known = counted(*[(0, 1, 2, 3) * 60] * 3).still()
    back = known.passages(0.9)
    assert back.shape == (KINDS, PLACES)
    assert back[3, :2] == pytest.approx([0.81, 0.9], abs=0.03)


def test_discounts_are_those_of_many_walks():
    rng, distances, step = Random(5), Distances(), 0.85
    likely = {NEW: 0.2, 1: 0.3, 2: 0.15, 3: 0.35}
    for _ in range(4000):
        walk = gone(*rng.sample(range(60), 8))._replace(lately=(rng.randrange(4), rng.randrange(4), rng.randrange(4)))
        (distance,) = rng.choices([*likely], [*likely.values()])
        distances.moved(walk, 99 if distance == NEW else walk.others[distance - 1])
    back = distances.still().passages(step)
    for start in (0, 2, 4):
        met = 0.0
        for _ in range(3000):
            place, discount = start, 1.0
            while discount > 1e-3:
                (distance,) = rng.choices([*likely], [*likely.values()])
                if distance == place + 1:
                    met += discount
                    break
                place, discount = place + (distance in (NEW, *range(place + 2, 9))), discount * step
        expected = likely.get(start + 1, 0.0)
        expected += sum(share * back[distance, start] for distance, share in likely.items() if distance != start + 1)
        assert expected == pytest.approx(met / 3000, abs=0.03)


def debates(model: ReuseModel, sessions: int, agents: int) -> None:
    """Four out of many take three rounds in an order of their own."""
    rng, now_s = Random(11), 0.0
    for number in range(sessions):
        for agent in rng.sample(range(agents), 4) * 3:
            model.dispatched(f"s{number}", f"agent{agent}", 500, now_s)
            model.responded(f"s{number}", now_s + 0.2)
            now_s += 1.0
        model.ended(f"s{number}", told=True, now_s=now_s)


def test_that_distances_tell_more_than_agents_is_learned():
    debates(model := ReuseModel(), 30, 40)
    for number, agent in enumerate((1, 2, 3, 4, 1)):
        model.dispatched("new", f"agent{agent}", 500, 1e3 + number)
        model.responded("new", 1e3 + number + 0.2)
    row = model.next_agents(model.standing.by_name["new"])
    assert int(row.argmax()) == model.agents["agent2"]
    assert row[model.agents["agent2"]] > 0.6
    rates = model.rates(1e3 + 5)
    assert rates is not None
    by_agent = rates.by_session[model.standing.by_name["new"].place]
    turn = [float(by_agent[model.agents[f"agent{agent}"]]) for agent in (2, 3, 4)]
    assert turn[0] > turn[1] > turn[2] > 0.0, "they come back in the order in which they spoke"


def test_where_agents_tell_all_distances_are_not_believed():
    """Each agent is followed by one of its own, near or far back at random."""
    model, rng, now_s = ReuseModel(), Random(3), 0.0
    follows = {agent: rng.sample([other for other in range(12) if other != agent], 2) for agent in range(12)}
    for number in range(60):
        agent = rng.randrange(12)
        for _ in range(12):
            model.dispatched(f"s{number}", f"agent{agent}", 500, now_s)
            model.responded(f"s{number}", now_s + 0.2)
            agent, now_s = rng.choice(follows[agent]), now_s + 1.0
        model.ended(f"s{number}", told=True, now_s=now_s)
    known = model.transitions.distances.still()
    assert all(known.right(Walk(lately=(NEW, NEW, last))) < 0.2 for last in (NEW, 1, 2, 3, 4))


def test_a_slot_that_another_agent_takes_over_is_not_where_the_session_was():
    model = ReuseModel()
    for number, agent in enumerate(("a", "b", "c")):
        model.dispatched("s", agent, 100, float(number))
        model.responded("s", number + 0.2)
    session, slot = model.standing.by_name["s"], model.agents["a"]
    assert session.walk.distance(slot) == 2
    for number in range(62):
        model.dispatched(f"o{number}", f"other{number}", 100, 10.0 + number)
    assert "a" not in model.agents
    assert session.walk.distance(slot) == NEW


def test_who_was_told_to_be_next_is_reached_at_once():
    debates(model := ReuseModel(), 30, 40)
    for number, agent in enumerate((1, 2, 3, 4, 1)):
        model.hinted("new", f"agent{agent}")
        model.dispatched("new", f"agent{agent}", 500, 1e3 + number)
        model.responded("new", 1e3 + number + 0.2)
    for number in range(20):  # hints are right
        model.dispatched("other", "agent7", 500, 1.1e3 + number)
        model.hinted("other", "agent7")
    place, told, usual = model.standing.by_name["new"].place, model.agents["agent3"], model.agents["agent2"]
    model.settle()
    reach = model.standing.reach[place]
    assert reach[usual] > reach[told] + 0.1, "as long as nobody says otherwise"
    model.hinted("new", "agent3")
    rates = model.rates(1.2e3)
    assert rates is not None
    here = rates.by_session[place]
    assert here[told] > 1.2 * here[usual], "which it may go to behind it"
    assert model.standing.reach[place, told] > 0.9


def test_an_agent_is_reached_no_later_than_it_is_next():
    """Six take turns: five places back is as far as any, for distances alone."""
    model, now_s = ReuseModel(), 0.0
    for number in range(30):
        for turn in range(18):
            model.dispatched(f"s{number}", f"agent{number}.{turn % 6}", 500, now_s)
            model.responded(f"s{number}", now_s + 0.2)
            now_s += 1.0
    session = model.standing.by_name["s29"]
    model.settle()
    slot = model.agents["agent29.0"]
    assert model.next_agents(session)[slot] > 0.8
    assert model.standing.reach[session.place, slot] >= model.next_agents(session)[slot] - 0.02


def test_a_team_that_never_let_anybody_in_may_do_so():
    """Where the only distance that is possible was never seen, there is nothing to divide by."""
    rng, distances, walk, agent = Random(2), Distances(), Walk(), 0
    seen: set[tuple[int, int, int]] = set()
    for _ in range(9000):
        after = rng.choice([other for other in range(6) if other != agent])
        distances.moved(walk, after)
        walk, agent = walk.on(agent, after), after
        seen.add(walk.lately)
    for lately in seen:  # all others have gone
        assert next_by(distances.still(), Walk(b"", lately), even(4)).sum() == pytest.approx(1.0)


def test_what_is_known_of_the_next_move_is_not_told_again():
    walk, distances = gone(5, 4, 3, 2, 1), counted(*[(0, 1, 2, 3) * 20])
    for _ in range(40):
        distances.told(walk, 1e-6, 0.9)
    known = distances.still()
    assert known.right(walk) > 0.9
    moves, reach = np.zeros(8, np.float32), np.full(8, 0.5, np.float32)
    moves[3] = 0.8
    at_once = [float(moves[slot]) for slot in walk.among(8)]
    known.reach_back(walk, at_once, 0.8, reach, known.passages(0.9))
    assert reach[3] == pytest.approx(known.right(walk) * 0.8 + (1.0 - known.right(walk)) * 0.5, abs=1e-3)
    assert reach[2] == 0.5, "that is where it came from: pairs tell"
    assert 0.5 < reach[4] < 0.9, "the next one, after that move"
    assert list(reach[[0, 1, 6, 7]]) == [0.5] * 4, "it was not at these, or is there"
    far, reach = gone(*range(12)), np.zeros(12, np.float32)
    known.reach_back(far, [1 / 12] * len(far.others), 1.0, reach, known.passages(0.9))
    assert (reach[:10] > 0.0).all()


def test_distances_are_believed_again_once_they_are_right():
    distances, walk = Distances(), gone(0, 1)
    for _ in range(5000):
        distances.told(walk, 0.9, 1e-6)
    assert distances.still().right(walk) < 0.01
    for _ in range(200):
        distances.told(walk, 0.1, 0.9)
    assert distances.still().right(walk) > 0.8
