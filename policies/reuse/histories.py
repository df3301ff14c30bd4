"""How much of what an agent was given it is given again: its anchor from session to session, its last prompt and its
last output within a session. Learned from the prompts themselves, whatever was cached; where the engine no longer
remembers what a prompt would repeat, it may have been repeated or not, and nothing is learned."""

from __future__ import annotations

from ..events import Part, PrefixInserted, PrefixMatched
from ..shares import Share, Shares
from ..tree.ownership import MIN_LEARNED_ANCHOR_TOKENS
from .lengths import Lengths
from .standing import Session


class Histories:
    """Shares per agent. `prompts_kept`: of the tail behind the anchor; `outputs_kept`: of the output, by the next
    prompt of the same agent in the session; `anchors_kept`: how often a session begins with the known anchor.
    `names_hold`: how much of what names promise comes true, of all agents together; 0 where they are made up.
    `lengths`: of the prompts they are learned from."""

    def __init__(self) -> None:
        self.lengths = Lengths()
        self.prompts_kept = Shares(prior=0.8)
        self.outputs_kept = Shares(prior=0.5)
        self.anchors_kept = Shares(prior=1.0)
        self.names_hold = Share(1.0)

    def kept(self, agent: int, part: Part) -> float:
        return self.outputs_kept[agent] if part == "output" else self.prompts_kept[agent]

    def dispatched(self, event: PrefixMatched, session: Session, known: bool) -> None:
        """A prompt of the session; `known`: the agent was seen before."""
        row = self.lengths.row(session.place, session.agent)
        held = self._held(event, session, row, known) if event.base_rid else None
        if held is not None:
            self.names_hold.see(held)
        self.lengths.prompted(session.place, session.agent, event.rid, event.prompt_tokens, row)

    def _held(self, event: PrefixMatched, session: Session, row: int | None, known: bool) -> float | None:
        """How much of what names promise came true, None if that cannot be told; `row`: of the agent's prompt before
        this one."""
        agent = session.agent
        if not known:
            return 1.0 - _share(event.base_tokens, event.prompt_tokens)
        if row is not None:
            return self._came_again(event, agent, row) if self.lengths.is_remembered(row) else None
        if not self.lengths.remembers(agent):
            return None
        held = self._began(event, agent)
        return None if session.again else held

    def _began(self, event: PrefixMatched, agent: int) -> float:
        """The agent's first prompt in a session: its anchor is expected and nothing behind it."""
        if not event.anchor_tokens:
            self.anchors_kept.see(agent, float(event.base_tokens >= MIN_LEARNED_ANCHOR_TOKENS))
            return 1.0
        same = float(event.base_tokens >= 0.9 * event.anchor_tokens)
        self.anchors_kept.see(agent, same)
        behind = _share(event.base_tokens - event.anchor_tokens, event.prompt_tokens - event.anchor_tokens)
        return same * (1.0 - behind)

    def _came_again(self, event: PrefixMatched, agent: int, row: int) -> float:
        """`row`: the lengths of the agent's prompt before this one. Returns how much of its tail is repeated."""
        lengths, kept = self.lengths, 1.0
        before_tokens, output_tokens = lengths.prompt_tokens(row), lengths.output_tokens(row)
        tail_tokens = before_tokens - event.anchor_tokens
        if tail_tokens > 0:
            kept = _share(event.base_tokens - event.anchor_tokens, tail_tokens)
            self.prompts_kept.see(agent, kept)
        if output_tokens > 0:
            repeated = event.base_tokens - before_tokens if lengths.is_of(row, event.base_rid) else 0
            self.outputs_kept.see(agent, _share(repeated, output_tokens))
        return kept

    def passed(self, event: PrefixMatched) -> None:
        """A prompt that nothing is learned of."""
        self.lengths.passed(event.rid)

    def responded(self, event: PrefixInserted) -> None:
        """A request's output is known."""
        self.lengths.responded(event.rid, event.total_tokens)

    def forget(self, agent: int) -> None:
        """A slot is taken over by another agent."""
        self.lengths.forget_agent(agent)
        for shares in (self.prompts_kept, self.outputs_kept, self.anchors_kept):
            shares.forget(agent)


def _share(part: int, whole: int) -> float:
    return min(1.0, max(0.0, part / max(1, whole)))
