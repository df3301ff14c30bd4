"""Which conversation a request belongs to when the caller does not say: the longest known one that it extends."""

from __future__ import annotations

import hashlib

import msgspec

from ..bounded import Bounded
from .prompts import digest

LIVE_S = 900.0
"""A conversation that was silent for longer is not joined by another agent any more."""
MAX_WAITING = 16
"""Sessions known by the same words, and names that they were said to have."""
MAX_RAW_PER_AGENT = 128
MAX_TEAM = 16
"""Agents of a session that others may join: more are rather one agent with a prompt for each of its users."""
BEGINNING = 4
"""Messages by which it is known how a session began."""


class _Known(msgspec.Struct):
    """One known chain. `waiting`: sessions that start with it and have not been continued, oldest first; `said`: what
    callers called those of them that could still be continued under that name; `held`: names under which it was gone
    on with; `crowded`: there were more names than are kept."""

    session: str
    agents: set[str]
    last_s: float
    waiting: list[str]
    said: list[str]
    held: list[str]
    crowded: bool = False


class _Begun(msgspec.Struct):
    """How conversations began: the session in which they did, its agents, and whether others began so too."""

    session: str
    agents: set[str]
    last_s: float
    several: bool = False


class Sessions:
    """Sessions by what was said in them. All tables are bounded; ids are unique and reproducible from the inputs.

    A chain has one rolling digest per message. A request belongs to the session of the longest known chain that it
    extends or repeats. Only a first message can repeat without being the same conversation: the same agent asked it
    again means a new session; another agent asking it while the session is alive has joined that session. So has an
    agent whose own conversation begins with the words with which a single live session began.
    Sessions that began with the same words are continued in the order in which they began, but for one that is called
    as its caller says.
    """

    def __init__(self, chains: int = 16_384, agents: int = 1_024) -> None:
        self._chains: Bounded[tuple[str, bytes], _Known] = Bounded(chains)
        self._raw: Bounded[tuple[str, str], Bounded[tuple[int, bytes], str]] = Bounded(agents)
        self._begun: Bounded[tuple[str, bytes], _Begun] = Bounded(chains)
        self._called: Bounded[tuple[str, str], str] = Bounded(chains)
        self._count = 0

    def __len__(self) -> int:
        return len(self._chains)

    def of_chain(self, tenant: str, agent: str, chain: tuple[bytes, ...], now_s: float, said: str = "") -> str:
        """The session of a conversation given as rolling digests, one per message. `said`: what its caller calls it; a
        new one is called so, unless another one was."""
        length, known = self._longest(tenant, chain)
        called = self._called.get((tenant, said)) if said else None
        if known is None:
            session = self._joined(tenant, agent, chain, now_s)
        elif length < len(chain):
            session = self._continued(known, called)
        else:
            session = called if called == known.session else self._repeated(known, length, agent, now_s)
        if not session:
            session = said if said and called is None else self._new(chain[-1] if chain else b"", now_s)
        self.learn(tenant, agent, chain, session, now_s, said)
        return session

    def held(self, tenant: str, chain: tuple[bytes, ...], said: str) -> float | None:
        """Whether a caller calls a conversation that goes on what it was called before: 1 if it does, less where others
        began so and chance might, 0 if it does not; None if that cannot be told: it begins, nobody said what it is
        called, it was gone on with before (under any name if it had but one), or too many began so for all their names
        to be remembered."""
        _, known = self._longest(tenant, chain[:-1])
        if known is None or not known.said:
            return None
        if said in known.said:
            held = 1 / len(known.said)
            known.said.remove(said)
            known.held = [*known.held[1 - MAX_WAITING :], said]
            return held
        if known.crowded or said in known.held:
            return None
        known.said = []
        return 0.0

    def learn(
        self, tenant: str, agent: str, chain: tuple[bytes, ...], session: str, now_s: float, said: str = ""
    ) -> None:
        """Note that this chain was said in this session, inferred or declared; `said`: what its caller called it."""
        if said:
            self._called.put((tenant, said), session)
        if not chain:
            return
        for words in chain[:BEGINNING]:
            self._begin((tenant, words), agent, session, now_s)
        known = self._chains.get((tenant, chain[-1]))
        if known is None:
            known = self._chains.put((tenant, chain[-1]), _Known(session, set(), now_s, [], [], []))
        if said and said not in known.said:
            known.crowded |= len(known.said) == MAX_WAITING
            known.said = [*known.said[1 - MAX_WAITING :], said]
        if known.session != session:
            known.session, known.agents = session, set()
        if len(known.agents) < MAX_TEAM:
            known.agents.add(agent)
        known.last_s = now_s
        if session not in known.waiting:
            known.waiting = [*known.waiting[1 - MAX_WAITING :], session]

    def of_raw(self, tenant: str, agent: str, prompt: str, now_s: float) -> str:
        """The session of a raw prompt: that of the longest earlier prompt of this agent that it continues."""
        known = self._raw.get((tenant, agent))
        if known is None:
            known = self._raw.put((tenant, agent), Bounded(MAX_RAW_PER_AGENT))
        data = prompt.encode("utf-8", "surrogatepass")
        session = ""
        rolling, done = hashlib.blake2b(digest_size=12), 0
        for length in sorted({length for length, _ in known if length < len(data)}):
            rolling.update(data[done:length])
            done = length
            session = known.get((length, rolling.digest())) or session
        rolling.update(data[done:])
        session = session or self._new(rolling.digest(), now_s)
        return known.put((len(data), rolling.digest()), session)

    def _longest(self, tenant: str, chain: tuple[bytes, ...]) -> tuple[int, _Known | None]:
        for length in range(len(chain), 0, -1):
            known = self._chains.get((tenant, chain[length - 1]))
            if known is not None:
                return length, known
        return 0, None

    def _repeated(self, known: _Known, length: int, agent: str, now_s: float) -> str:
        """'' for a new one."""
        asked_before = agent in known.agents or len(known.agents) == MAX_TEAM
        asleep = now_s - known.last_s > LIVE_S
        if length == 1 and (asked_before or asleep):
            return ""
        return known.session

    def _begin(self, words: tuple[str, bytes], agent: str, session: str, now_s: float) -> None:
        begun = self._begun.get(words)
        if begun is None or now_s - begun.last_s > LIVE_S:
            begun = self._begun.put(words, _Begun(session, set(), now_s))
        begun.several |= begun.session != session
        begun.last_s = now_s
        if len(begun.agents) < MAX_TEAM:
            begun.agents.add(agent)

    def _joined(self, tenant: str, agent: str, chain: tuple[bytes, ...], now_s: float) -> str:
        """The live session that began as this conversation does, as far as any did; '' if there are several, if the
        agent is one of its own, or if it has too many."""
        for words in reversed(chain[:BEGINNING]):
            begun = self._begun.get((tenant, words))
            if begun is not None and now_s - begun.last_s <= LIVE_S:
                alone = begun.several or agent in begun.agents or len(begun.agents) == MAX_TEAM
                return "" if alone else begun.session
        return ""

    def _continued(self, known: _Known, called: str | None) -> str:
        """`called`: the session that last was called as its caller calls this one."""
        if called in known.waiting:
            known.waiting.remove(called)
            return called
        return known.waiting.pop(0) if known.waiting else known.session

    def _new(self, seed: bytes, now_s: float) -> str:
        self._count += 1
        return "s-" + digest(seed, f"{now_s!r} {self._count}".encode(), size=6).hex()
