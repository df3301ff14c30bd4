"""The policies of a host and what they think of the cache, as a table: a daemon publishes it, a replay makes it."""

from __future__ import annotations

import msgspec

from radixdeck.policies.events import NO_NODE, Part, Role
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import Subject
from radixdeck.policies.residency import RunState
from radixdeck.policies.seat import EVICTION, PolicyFacts
from radixdeck.policies.tree.sight import why_blind
from radixdeck.policies.tree.subjects import subject_of

from .wire import PoliciesTable, PolicyInfo, SubjectScore, TunableInfo

MAX_SCORES = 500


def policies_table(host: PolicyHost, state: RunState, now_s: float, *, scored: bool = True) -> PoliciesTable:
    """What `host` says at `now_s` (seconds, event clock) about the nodes resident in `state`. `scored`: with scores,
    the dear part of it."""
    prediction = host.predict(now_s)
    listed = [_with_rulings(policy_info(facts), state) for facts in host.info()]
    return PoliciesTable(
        policies=as_seen(listed, state),
        predictability=prediction.predictability,
        dispatches=prediction.dispatches,
        survival=prediction.survival,
        scores=[_score(host, subject, now_s) for subject in _subjects(state)] if scored else [],
    )


def as_seen(policies: list[PolicyInfo], state: RunState) -> list[PolicyInfo]:
    """While the engine's observer is broken nobody is asked what to evict, whoever holds that slot."""
    if not state.blind:
        return policies
    why = why_blind(state.blind)
    return [
        msgspec.structs.replace(policy, failed=policy.failed or why)
        if policy.enabled and policy.slot == EVICTION
        else policy
        for policy in policies
    ]


def _with_rulings(info: PolicyInfo, state: RunState) -> PolicyInfo:
    """What a policy decided at the door and about tools counts beside what it decided in the engine."""
    rulings = state.rulings.get(info.name)
    if rulings is None:
        return info
    decided = rulings.held + rulings.refused + sum(rulings.tools.values()) + sum(rulings.hedges.values())
    return msgspec.structs.replace(info, decisions=info.decisions + decided)


def policy_info(facts: PolicyFacts) -> PolicyInfo:
    """One policy with its tunables."""
    tunables = [
        TunableInfo(
            name=tunable.name, value=facts.values[tunable.name], default=tunable.default, low=tunable.low,
            high=tunable.high, unit=tunable.unit, doc=tunable.doc,
        )
        for tunable in facts.declares
    ]  # fmt: skip
    return PolicyInfo(
        name=facts.name, doc=facts.doc, slot=facts.slot, enabled=facts.enabled, failed=facts.failed,
        tunables=tunables, observe_us=facts.observe_us, score_us=facts.score_us, decisions=facts.decisions,
        tells=facts.tells,
    )  # fmt: skip


def _subjects(state: RunState) -> list[Subject]:
    """The queues that the resident nodes wait in, as the engine forms them; the first MAX_SCORES of them. One for each
    node would take 20 ms of 10,000 nodes, in which nobody is served."""
    seen: set[tuple[Role, tuple[str, ...], str, int, Part]] = set()
    subjects: dict[Subject, None] = {}
    for view in state.nodes.values():
        told = view.role, view.agents, view.session, view.node if view.pinned else NO_NODE, view.part
        if told not in seen:
            seen.add(told)
            subjects[subject_of(*told)] = None
            if len(subjects) == MAX_SCORES:
                break
    return list(subjects)


def _score(host: PolicyHost, subject: Subject, now_s: float) -> SubjectScore:
    score = host.score(subject, now_s)
    return SubjectScore(
        role=subject.role, agents=subject.agents, session=subject.session, node=subject.node,
        key=score.key, parts=score.parts, part=subject.part,
    )  # fmt: skip
