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
"""From this mean share on, the agents of a session are taken to see one transcript, or what another one found out."""


class Paths:
    """Follows the requests of a stream. `anchor_tokens`: known lengths of anchors, by agent."""

    def __init__(self, stream: Stream) -> None:
        self.anchor_tokens: dict[str, int] = {}
        self._stream = stream
        self._by_agent: dict[str, int] = {}
        self._by_session: dict[str, int] = {}
        self._turns: dict[str, int] = {}
        self._own: dict[tuple[str, str], int] = {}
        self._repeated = self._kept = 0.0

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
        if latest is None or self._stream.contents[latest].agent != event.agent:
            if latest is not None and event.session:
                self._moved(number, self._turns[event.session], latest)
            self._turns[event.session] = number
        self._by_agent[event.agent] = number
        self._by_session[event.session] = number
        self._own[event.session, event.agent] = number
        if event.anchor_tokens:
            self.anchor_tokens[event.agent] = event.anchor_tokens

    def _moved(self, number: int, began: int, latest: int) -> None:
        """After another agent, whose turn began and ended with these: how far it repeats what that one was asked first,
        and what it found out by tools since."""
        whole, said = self._tokens(latest), self._tokens(began)
        self._repeated += LEARNING * (self._common(number, began) / max(1, said) - self._repeated)
        if whole > said:
            self._kept += LEARNING * (max(0, self._common(number, latest) - said) / (whole - said) - self._kept)

    def _tokens(self, number: int) -> int:
        return length(self._stream.contents[number].tail)

    def _common(self, number: int, earlier: int) -> int:
        """Tokens behind its own anchor that a prompt repeats of those behind another one's."""
        before, now = self._stream.contents[earlier].tail, self._stream.contents[number].tail
        return length(before[: common(before, now)])

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
            shown = latest if self._kept >= SHARED else self._turns[session]
            return self._stream.hasher.hashes(contents[seen].anchor + contents[shown].tail)
        return self._stream.requests[own].hashes if own is not None else None
