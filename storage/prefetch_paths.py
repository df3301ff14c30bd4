"""What a warm-up can prefill: an agent's anchor, or the path that a session will most likely ask an agent for next.

Only what a daemon can know of earlier requests is used: their prompts, outputs and anchors.
"""

from __future__ import annotations

from radixdeck.policies.events import AnchorMeasured, EngineEvent, PrefixMatched

from .atoms import common, length
from .streams import Stream
from .trie import Hashes

LEARNING = 0.1
SHARED = 0.5
"""From this mean share on, the agents of a session are taken to see one transcript."""


class Paths:
    """Follows the requests of a stream. `anchor_tokens`: known lengths of anchors, by agent."""

    def __init__(self, stream: Stream) -> None:
        self.anchor_tokens: dict[str, int] = {}
        self._stream = stream
        self._by_agent: dict[str, int] = {}
        self._by_session: dict[str, int] = {}
        self._own: dict[tuple[str, str], int] = {}
        self._repeated = 0.0

    def observe(self, event: EngineEvent, number: int) -> None:
        match event:
            case AnchorMeasured():
                self.anchor_tokens[event.agent] = event.tokens
            case PrefixMatched():
                self._came(event, number)
            case _:
                pass

    def _came(self, event: PrefixMatched, number: int) -> None:
        latest = self._by_session.get(event.session)
        if latest is not None and event.session and self._stream.contents[latest].agent != event.agent:
            self._repeated += LEARNING * (self._repeats(number, latest) - self._repeated)
        self._by_agent[event.agent] = number
        self._by_session[event.session] = number
        self._own[event.session, event.agent] = number
        if event.anchor_tokens:
            self.anchor_tokens[event.agent] = event.anchor_tokens

    def _repeats(self, number: int, latest: int) -> float:
        """Share of the latest tail of the session, another agent's, that a prompt repeats behind its own anchor."""
        before, now = self._stream.contents[latest].tail, self._stream.contents[number].tail
        return length(before[: common(before, now)]) / max(1, length(before))

    def anchor(self, agent: str) -> Hashes | None:
        """None if it is not known."""
        number, tokens = self._by_agent.get(agent), self.anchor_tokens.get(agent, 0)
        return self._stream.requests[number].hashes[:tokens] if number is not None and tokens else None

    def path(self, session: str, agent: str) -> Hashes | None:
        """The agent's own last prompt and output in the session; where agents see one transcript and another one spoke
        last, the agent's anchor and that one's transcript. None if neither is known."""
        own, latest = self._own.get((session, agent)), self._by_session.get(session)
        seen = self._by_agent.get(agent)
        if latest is not None and latest != own and self._repeated >= SHARED and seen is not None:
            contents = self._stream.contents
            return self._stream.hasher.hashes(contents[seen].anchor + contents[latest].tail)
        return self._stream.requests[own].hashes if own is not None else None
