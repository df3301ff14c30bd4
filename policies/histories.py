"""How much of what an agent was given it is given again: its anchor from session to session, its last prompt and its
last output within a session. Learned from the prompts themselves, whatever was cached."""

from __future__ import annotations

from .events import Part, PrefixInserted, PrefixMatched
from .shares import Shares
from .standing import Lengths, Session


class Histories:
    """Shares per agent. `prompts_kept`: of the tail behind the anchor; `outputs_kept`: of the output, by the next
    prompt of the same agent in the session; `anchors_kept`: how often a session begins with the known anchor."""

    def __init__(self) -> None:
        self.prompts_kept = Shares(prior=0.8)
        self.outputs_kept = Shares(prior=0.5)
        self.anchors_kept = Shares(prior=1.0)

    def kept(self, agent: str, part: Part) -> float:
        return self.outputs_kept[agent] if part == "output" else self.prompts_kept[agent]

    def dispatched(self, event: PrefixMatched, session: Session, known: bool) -> None:
        """A prompt of the session; `known`: the agent was seen before."""
        before = session.lengths.pop(session.agent, None)
        session.lengths[session.agent] = Lengths(
            event.rid, event.prompt_tokens, max(0, event.prompt_tokens - event.anchor_tokens), 0
        )
        if not event.base_rid or not known:
            return
        if before is None:
            if event.anchor_tokens:
                self.anchors_kept.see(event.agent, float(event.base_tokens >= 0.9 * event.anchor_tokens))
            return
        tail_tokens = before.prompt_tokens - event.anchor_tokens
        if tail_tokens > 0:
            self.prompts_kept.see(event.agent, _share(event.base_tokens - event.anchor_tokens, tail_tokens))
        output_tokens = before.total_tokens - before.prompt_tokens
        if output_tokens > 0:
            repeated = event.base_tokens - before.prompt_tokens if event.base_rid == before.rid else 0
            self.outputs_kept.see(event.agent, _share(repeated, output_tokens))

    def responded(self, event: PrefixInserted, session: Session | None) -> None:
        """A request's output is known."""
        lengths = session.lengths.get(session.agent) if session is not None else None
        if session is not None and lengths is not None and lengths.rid == event.rid:
            session.lengths[session.agent] = lengths._replace(total_tokens=event.total_tokens)


def _share(part: int, whole: int) -> float:
    return min(1.0, max(0.0, part / whole))
