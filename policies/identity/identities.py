"""Who is asking: the agent, the session and the tenant of a request, declared by the caller or inferred from it.

Pure: no clock, no I/O. Time comes in; the same requests in the same order give the same answers.

Agent. Declared names win. Otherwise the agent is its fingerprint, the hash of its leading system messages and its tool
schemas; a fingerprint that a declared name was seen with belongs to that name from then on, so that declared and
undeclared requests of one agent agree. Callers of raw prompts, and conversations without system message and tools,
are told apart by the anchors their prompts share (`raw_prompts`); until one is known the agent is 'unknown'.

Session. Declared, else inferred from what was said before (`sessions`).

Doubt. Where a tenant's names do not hold (`names_hold`), its agents go by their fingerprints and its sessions by what
was said; each keeps the first name that it had, if nothing else had it. Names that held by themselves are gone by.

Tenant. Of the API key, else declared, else 'default'. Agents and sessions of other tenants are `<tenant>/<name>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..bounded import Bounded
from ..events import AgentSeen, NamesDoubted
from .declared import (
    DEFAULT_TENANT,
    IdentityError,
    TenantMismatch,
    checked_name,
    declared_agent,
    declared_session,
    declared_tenant,
    scoped,
)
from .names_hold import TenantNames
from .prompts import RESPONSES_ROUTE, Prompt, RawKind, read_prompt
from .raw_prompts import LEAST, RawAnchors, common_length
from .sessions import Sessions
from .who import Who

UNKNOWN = "unknown"
MAX_REMEMBERED = 64
"""Versions remembered per agent, and claimants per fingerprint."""
MAX_RAW_TABLES = 16
MAX_TENANTS = 64
MAX_RELABELS = 8
_LABEL_WORDS = 6
_LABEL_CHARACTERS = 48
_BLANKS = re.compile(r"\s+")


class _Agent(msgspec.Struct):
    label: str = ""
    labelled_after: int = 0
    relabels: int = 0
    declared: bool = False
    versions: Bounded[str, bool] = msgspec.field(default_factory=lambda: Bounded[str, bool](MAX_REMEMBERED))
    version_count: int = 0
    claimants: int = 0


class Identities:
    """The memory behind `identify`. Bounded: the agents least recently heard of are forgotten first.

    `tenants`: names that no agent or session of the default tenant may hide behind (`<tenant>/...`). `doubts`: whether
    names that do not hold are doubted.
    """

    def __init__(
        self,
        *,
        agents: int = 4_096,
        sessions: int = 16_384,
        tenants: frozenset[str] = frozenset(),
        doubts: bool = True,
    ) -> None:
        self._agents: Bounded[str, _Agent] = Bounded(agents)
        self._claims: Bounded[tuple[str, str], list[str]] = Bounded(2 * agents)
        self._raw: Bounded[tuple[str, str, RawKind], RawAnchors] = Bounded(MAX_RAW_TABLES)
        self._answers: Bounded[tuple[str, str], str] = Bounded(sessions)
        self._sessions = Sessions(chains=sessions)
        self._found: Bounded[tuple[str, str], str] = Bounded(sessions)
        self._names: Bounded[str, TenantNames] = Bounded(MAX_TENANTS)
        self._doubts = doubts
        self._tenants = tenants
        self._shared_head: str | None = None
        self._shared_cuts = 0

    def identify(
        self,
        headers: Mapping[str, str],
        route: str,
        body: Mapping[str, Any],
        api_key_tenant: str | None,
        now_s: float,
    ) -> Who:
        """Work out who asks. `headers`: by lower-case name; `body`: any JSON object; `now_s`: UTC seconds.

        Raises IdentityError, naming the header, if the caller names itself in a way that cannot be used.
        """
        tenant = declared_tenant(headers, api_key_tenant)
        called = scoped(self._unreserved(declared_agent(headers, body), "x-agent-id", tenant), tenant)
        said = self._unreserved(declared_session(headers, body), "x-session-id", tenant)
        prompt = read_prompt(route, body)
        agent, text = self._agent(tenant, called, prompt, str(body.get("model"))[:128])
        held = self._sessions.held(tenant, prompt.chain, said) if said and self._doubts else None
        session = self._session(tenant, agent, said, route, body, prompt, now_s)
        declared = agent == called
        seen = self._note(agent, tenant, prompt, text, declared, now_s)
        return Who(
            agent=agent,
            session=session,
            tenant=tenant,
            declared=declared,
            called="" if declared else called,
            fingerprint=prompt.fingerprint,
            label=self._known(agent).label,
            seen=seen,
            doubts=tuple(self._judged(tenant, called, prompt.fingerprint, said, session, held, now_s)),
        )

    def answered(self, response_id: str, who: Who) -> None:
        """`who` got this response; a later request that names it as previous_response_id belongs to the session."""
        self._answers.put((who.tenant, response_id), who.session)

    def session_name(self, name: str, headers: Mapping[str, str], api_key_tenant: str | None) -> str:
        """The full name of a session that a caller calls `name`. Raises IdentityError."""
        tenant = declared_tenant(headers, api_key_tenant)
        where = "the session's name"
        said = self._unreserved(checked_name(name, where), where, tenant)
        return self._found.get((tenant, said)) or scoped(said, tenant)

    def _unreserved(self, name: str, where: str, tenant: str) -> str:
        """`name`, declared in the header `where` or in what stands for it."""
        owner, slash, _ = name.partition("/")
        if tenant == DEFAULT_TENANT and slash and owner in self._tenants:
            raise IdentityError(f"{where} {name!r}: names that begin with '{owner}/' belong to tenant {owner!r}")
        return name

    def _agent(self, tenant: str, called: str, prompt: Prompt, model: str) -> tuple[str, str]:
        """The agent's full name, and the text to label it by. `called`: the full name that it says, or ''."""
        if called:
            if prompt.fingerprint:
                self._claim(tenant, prompt.fingerprint, called)
            if not prompt.fingerprint or self._names_of(tenant).agents.believes(called):
                return called, prompt.head
        if prompt.fingerprint:
            return self._by_prompt(tenant, prompt.fingerprint), prompt.head
        if prompt.kind:
            table = self._raw.get((tenant, model, prompt.kind))
            if table is None:
                table = self._raw.put((tenant, model, prompt.kind), RawAnchors(LEAST[prompt.kind]))
            if anchor := table.find(prompt.raw):
                text = "" if prompt.kind == "ids" else anchor.text[table.shared :]
                return _inferred(anchor.name, tenant), text
        return scoped(UNKNOWN, tenant), ""

    def _by_prompt(self, tenant: str, fingerprint: str) -> str:
        """The agent of this head: the name that claimed it first, if there is one; where names are doubted only if
        that held itself or never sent another one."""
        claimants = self._claims.get((tenant, fingerprint))
        if not claimants:
            return _inferred(fingerprint, tenant)
        known = None if self._names_of(tenant).agents.believes(claimants[0]) else self._agents.get(claimants[0])
        own = known is None or list(known.versions) == [fingerprint]
        return claimants[0] if own else _inferred(fingerprint, tenant)

    def _claim(self, tenant: str, fingerprint: str, agent: str) -> None:
        claimants = self._claims.get((tenant, fingerprint))
        if claimants is None:
            claimants = self._claims.put((tenant, fingerprint), [])
        if agent not in claimants and len(claimants) < MAX_REMEMBERED:
            claimants.append(agent)

    # ---- sessions, and whether names hold ----------------------------------------------------------------------------

    def _session(
        self, tenant: str, agent: str, said: str, route: str, body: Mapping[str, Any], prompt: Prompt, now_s: float
    ) -> str:
        """`said`: what its caller calls it, '' if it does not."""
        if said and (not prompt.chain or self._names_of(tenant).sessions.believes(said)):
            self._sessions.learn(tenant, agent, prompt.chain, said, now_s, said)
            self._found.pop((tenant, said))
            return scoped(said, tenant)
        session = self._inferred_session(tenant, agent, said, route, body, prompt, now_s)
        if said:
            self._found.put((tenant, said), session)
        return session

    def _judged(
        self, tenant: str, called: str, fingerprint: str, said: str, session: str, held: float | None, now_s: float
    ) -> Iterator[NamesDoubted]:
        """Learn from a request whether names hold. `held`: whether `said`, its session's, did, as Sessions tell it.
        Yields what is new."""
        if not self._doubts:
            return
        names = self._names_of(tenant)
        if called and fingerprint and (doubted := names.agent_sends(called, fingerprint, session, now_s)):
            yield doubted
        if held is not None and (doubted := names.session_goes_on(said, held, now_s)):
            yield doubted

    def _names_of(self, tenant: str) -> TenantNames:
        return self._names.get(tenant) or self._names.put(tenant, TenantNames(tenant))

    def _inferred_session(
        self, tenant: str, agent: str, said: str, route: str, body: Mapping[str, Any], prompt: Prompt, now_s: float
    ) -> str:
        previous = body.get("previous_response_id") if route == RESPONSES_ROUTE else None
        if isinstance(previous, str) and (known := self._answers.get((tenant, previous))):
            return known
        if prompt.chain:
            return scoped(self._sessions.of_chain(tenant, agent, prompt.chain, now_s, said), tenant)
        return scoped(self._sessions.of_raw(tenant, agent, prompt.raw, now_s), tenant)

    def _known(self, agent: str) -> _Agent:
        return self._agents.get(agent) or self._agents.put(agent, _Agent())

    def _note(
        self, agent: str, tenant: str, prompt: Prompt, text: str, declared: bool, now_s: float
    ) -> AgentSeen | None:
        """What is new about this agent; only every power of two of a growing count is news."""
        new = agent not in self._agents
        known = self._known(agent)
        news = [new, declared and not known.declared, self._relabel(known, agent, text, prompt)]
        known.declared |= declared
        if prompt.fingerprint not in known.versions:
            known.version_count += 1
            news.append(_is_power_of_two(known.version_count))
        known.versions.put(prompt.fingerprint, True)
        claimants = max(1, len(self._claims.get((tenant, prompt.fingerprint)) or ()))
        if claimants > known.claimants:
            known.claimants = claimants
            news.append(_is_power_of_two(claimants))
        if not any(news):
            return None
        return AgentSeen(
            t_ns=int(now_s * 1e9),
            agent=agent,
            label=known.label,
            fingerprint=prompt.fingerprint,
            declared=known.declared,
            versions=known.version_count,
            claimants=known.claimants,
        )

    def _relabel(self, known: _Agent, agent: str, text: str, prompt: Prompt) -> bool:
        """Label an agent by the first words that not every agent begins with. True if the label changed."""
        if prompt.head and (self._shared_head is None or not prompt.head.startswith(self._shared_head)):
            self._shared_cuts += self._shared_head is not None
            shared = self._shared_head
            self._shared_head = prompt.head if shared is None else shared[: common_length(shared, prompt.head)]
        if known.label and (known.labelled_after == self._shared_cuts or known.relabels >= MAX_RELABELS):
            return False
        skipped = len(self._shared_head or "") if prompt.head and self._shared_cuts else 0
        word = text.rfind(" ", 0, skipped + 1) + 1 if skipped else 0
        label = first_words(text[word:]) or first_words(text) or agent
        changed = label != known.label
        known.relabels += bool(known.label)
        known.label, known.labelled_after = label, self._shared_cuts
        return changed


def _inferred(fingerprint: str, tenant: str) -> str:
    """What an agent is called by its prompt."""
    return scoped(f"agent-{fingerprint[:12]}", tenant)


def first_words(text: str) -> str:
    """The first few words of a text, on one line, printable."""
    words = _BLANKS.sub(" ", text[:512]).strip().split(" ")[:_LABEL_WORDS]
    label = " ".join(words)[:_LABEL_CHARACTERS].rstrip()
    return "".join(character if character.isprintable() else "?" for character in label)


def _is_power_of_two(count: int) -> bool:
    return count & (count - 1) == 0


__all__ = ["DEFAULT_TENANT", "UNKNOWN", "Identities", "IdentityError", "TenantMismatch", "Who", "first_words"]
