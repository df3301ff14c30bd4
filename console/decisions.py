"""What one policy decided lately, why, and what it was worth: from the events of the log and the folded run. Pure.

An eviction is worth what was kept instead and found since, less what went and was computed again: against plain LRU,
each by itself, as if everything else had gone the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from radixdeck.daemon.wire import PolicyInfo
from radixdeck.policies import events as e
from radixdeck.policies.residency import Ruling, RunState
from radixdeck.policies.seat import EVICTION

from .event_log import EventLog, LogLine
from .holders import briefly
from .past import Past
from .rulings import came_of
from .words import brief_id, count, parts, seconds, short, time_of_day, tokens

MOST = 300
"""Decisions that are told one by one."""
FORGOTTEN = "not known any more"
"""What came of an eviction from before the losses that a run keeps."""
KINDS = frozenset({"action_taken", "node_added", "node_evicted", "node_split", "policy_switched", "prefix_matched"})
"""Kinds of events that tell of decisions and of what came of them."""


class Decision(NamedTuple):
    """One decision. `came`: what came of it so far; `worth_tokens`: not computed again thanks to it, below 0 computed
    again because of it; `seq`: its event, -1 where only the folded state knows of it."""

    t_ns: int
    seq: int
    what: str
    why: str
    came: str
    worth_tokens: int = 0


class Lately(NamedTuple):
    """`other`: how many of the `evictions` LRU would have done otherwise; `found_tokens`: of nodes that were kept there
    and used before they were up again; `missed_tokens`: of what went there and was computed again. `since_ns`: all four
    are of evictions after this moment, for of those before it some losses are forgotten; 0 if none is. `whole_ns`: only
    events from this moment on were looked at, for of those before it some are missing; 0 if none is."""

    decisions: list[Decision]
    evictions: int = 0
    other: int = 0
    found_tokens: int = 0
    missed_tokens: int = 0
    since_ns: int = 0
    whole_ns: int = 0


def decided(policy: PolicyInfo, slot_mates: Iterable[str], run: RunState, log: EventLog, most: int = MOST) -> Lately:
    """Its last `most` decisions, newest first, and the sums over all in the log whose losses are known. `slot_mates`:
    the policies of its slot, itself among them. Where events are missing, only what came after them counts: they may
    have told that another policy took the slot."""
    first = log.whole_from
    whole = [line for line in log if line.seq >= first]
    whole_ns = 0 if first < 0 else whole[0].t_ns if whole else run.t_ns
    lines = [line for line in whole if line.kind in KINDS]
    mine: list[tuple[LogLine, e.NodeEvicted]] = []
    if policy.slot == EVICTION:
        held = lines_of(policy.name, frozenset(slot_mates), run, lines)
        evicted = ((line, line.event) for line in held if isinstance(line.event, e.NodeEvicted))
        mine = [(line, event) for line, event in evicted if event.cause == "allocation"]
    other = [event for _, event in mine if event.instead != e.NO_NODE]
    past = Past(run, lines if mine else (), other)
    judged = [_judged(*one, past) for one in mine[max(0, len(mine) - most) :]]
    listed = _newest_first(policy.name, run, lines, judged)[:most] if most else []
    known = [event for _, event in mine if past.knows(event)]
    summed = [event for event in known if event.instead != e.NO_NODE]
    found, missed = sum(map(past.found, summed)), sum(map(past.missed, summed))
    since_ns = past.since_ns if len(known) < len(mine) else 0
    return Lately(listed, len(known), len(summed), found, missed, since_ns, whole_ns)


def _newest_first(policy: str, run: RunState, lines: list[LogLine], judged: list[Decision]) -> list[Decision]:
    rulings = run.rulings.get(policy)
    found = [*_acted(policy, lines), *(_ruled(one) for one in (rulings.recent if rulings else ())), *judged]
    return sorted(found, key=lambda one: (-one.t_ns, -one.seq))


def lately_words(policy: PolicyInfo, lately: Lately) -> str:
    """The sum of its evictions against LRU's, '' for a policy that has decided nothing, as far as is known."""
    if not lately.evictions and lately.since_ns:
        return f"what {policy.name} evicted is too long ago: its losses are forgotten"
    if not lately.evictions:
        gone = f"what {policy.name} did before {time_of_day(lately.whole_ns)} is not told: events of then are missing"
        return gone if lately.whole_ns and policy.decisions else ""
    head = f"{policy.name} evicted {count(lately.evictions, 'node')} {_when(lately)}"
    if not lately.other:
        return f"{head}, each as plain LRU would have"
    return (
        f"{head}, {lately.other:,} of them where LRU would have taken another: {tokens(lately.found_tokens)} were "
        f"found of what it kept, {tokens(lately.missed_tokens)} of what went were computed again: "
        f"{lately.found_tokens - lately.missed_tokens:+,} tok against LRU"
    )


def _when(lately: Lately) -> str:
    if lately.whole_ns > lately.since_ns:
        return f"since {time_of_day(lately.whole_ns)} (events before that are missing)"
    return f"since {time_of_day(lately.since_ns)} (older losses are forgotten)" if lately.since_ns else "lately"


def lines_of(policy: str, slot_mates: frozenset[str], run: RunState, lines: list[LogLine]) -> list[LogLine]:
    """The lines of the time in which a policy held the slot that it shares with others. Whoever takes it is told of
    first, then that the one before is off."""
    told = [line.event for line in lines if isinstance(line.event, e.PolicySwitched)]
    switches = [event for event in told if event.policy in slot_mates]
    if not switches:
        return lines if run.policies.get(policy) else []
    holder_now = _holder_before(switches)
    mine: list[LogLine] = []
    for line in lines:
        if isinstance(line.event, e.PolicySwitched) and line.event.policy in slot_mates:
            if line.event.enabled:
                holder_now = line.event.policy
            elif line.event.policy == holder_now:
                holder_now = ""
        elif holder_now == policy:
            mine.append(line)
    return mine


def _holder_before(switches: list[e.PolicySwitched]) -> str:
    """Who held the slot before the first of these switches: what that one, or the next, says is off; '' for nobody."""
    first, *then = switches[:2]
    if not first.enabled:
        return first.policy
    return "".join(event.policy for event in then if not event.enabled and event.policy != first.policy)


def _judged(line: LogLine, event: e.NodeEvicted, past: Past) -> Decision:
    """An eviction with what came of it, if that is still known. Where LRU would have done the same it is worth nothing
    either way."""
    missed = past.missed(event)
    what = f"{briefly(event.role, event.agents, event.session)}, {tokens(event.tokens)}"
    why = f"score {event.score:.3g}: {parts(event.parts)}" if event.parts else f"idle {seconds(event.idle_s)}"
    gone = f"{short(missed)} again" if missed else "not missed"
    gone = gone if past.knows(event) else FORGOTTEN
    if event.instead == e.NO_NODE:
        return Decision(line.t_ns, line.seq, what, f"{why}; as LRU", gone)
    whose = f"{event.instead_agent}'s" if event.instead_agent else "nobody's"
    if not past.knows(event):
        return Decision(line.t_ns, line.seq, what, f"{why}; kept {whose} node {event.instead}", gone)
    found = past.found(event)
    came = f"{gone}; kept {f'{short(found)} found' if found else 'not used'}"
    return Decision(line.t_ns, line.seq, what, f"{why}; kept {whose} node {event.instead}", came, found - missed)


def _acted(policy: str, lines: list[LogLine]) -> Iterable[Decision]:
    """Its actions, the last first, and of what it warmed whether that was asked for."""
    asked: dict[tuple[str, str], e.PrefixMatched] = {}
    """The next request of an agent in a session, and under '' in any."""
    for line in reversed(lines):
        event = line.event
        if isinstance(event, e.PrefixMatched) and not event.warm:
            asked[event.agent, event.session] = asked[event.agent, ""] = event
        elif isinstance(event, e.ActionTaken) and event.by == policy:
            what = f"{event.kind.replace('_', ' ')} {event.agent or f'node {event.node}'}"
            what += f" in {event.session}" if event.session else ""
            match = asked.get((event.agent, event.session))
            came, worth = (event.result or "refused", 0) if not event.ok else _came(event, match)
            yield Decision(line.t_ns, line.seq, what, event.why, came, worth)


def _came(event: e.ActionTaken, match: e.PrefixMatched | None) -> tuple[str, int]:
    done = f"{short(event.tokens)} tok" if event.tokens else event.result or "done"
    if event.kind != "warm" or not event.tokens:
        return done, 0
    if match is None:
        return f"{done} ahead; not asked for", 0
    found = min(event.tokens, match.cached_tokens)
    return f"{done} ahead; {short(found)} found", found


def _ruled(ruling: Ruling) -> Decision:
    what = f"{ruling.what} {ruling.agent} {brief_id(ruling.rid)}".rstrip()
    return Decision(ruling.t_ns, -1, what, ruling.why, came_of(ruling) or "-")
