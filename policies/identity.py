"""Who is asking: the agent, the session and the tenant of a request, declared by the caller or inferred from it.

Pure: no clock, no I/O. Time comes in; the same requests in the same order give the same answers.

Agent. Declared names win. Otherwise the agent is its fingerprint, the hash of its leading system messages and its tool
schemas; a fingerprint that a declared name was seen with belongs to that name from then on, so that declared and
undeclared requests of one agent agree. Callers of raw prompts, and conversations without system message and tools,
are told apart by the anchors their prompts share (`raw_prompts`); until one is known the agent is 'unknown'.

Session. Declared, else inferred from what was said before (`sessions`).

Tenant. Of the API key, else declared, else 'default'. Agents and sessions of other tenants are `<tenant>/<name>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from .bounded import Bounded
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
from .events import AgentSeen
from .prompts import RESPONSES_ROUTE, Prompt, RawKind, read_prompt
from .raw_prompts import LEAST, RawAnchors, common_length
from .sessions import Sessions

UNKNOWN = "unknown"
MAX_REMEMBERED = 64
"""Versions remembered per agent, and claimants per fingerprint."""
MAX_RAW_TABLES = 16
MAX_RELABELS = 8
_LABEL_WORDS = 6
_LABEL_CHARACTERS = 48
_BLANKS = re.compile(r"\s+")


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. `fingerprint`: hash of system messages and tools, '' if there are none; `label`: a few words a human
    recognises the agent by; `seen`: what is new about the agent, if anything (its `t_ns` is `now_s`)."""

    agent: str
    session: str
    tenant: str = DEFAULT_TENANT
    declared: bool = False
    fingerprint: str = ""
    label: str = ""
    seen: AgentSeen | None = None


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

    `tenants`: names that no agent or session of the default tenant may hide behind (`<tenant>/...`).
    """

    def __init__(self, *, agents: int = 4_096, sessions: int = 16_384, tenants: frozenset[str] = frozenset()) -> None:
        self._agents: Bounded[str, _Agent] = Bounded(agents)
        self._claims: Bounded[tuple[str, str], list[str]] = Bounded(2 * agents)
        self._raw: Bounded[tuple[str, str, RawKind], RawAnchors] = Bounded(MAX_RAW_TABLES)
        self._answers: Bounded[tuple[str, str], str] = Bounded(sessions)
        self._sessions = Sessions(chains=sessions)
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
        name = self._unreserved(declared_agent(headers, body), "x-agent-id", tenant)
        session = self._unreserved(declared_session(headers, body), "x-session-id", tenant)
        prompt = read_prompt(route, body)
        agent, text = self._agent(tenant, name, prompt, str(body.get("model"))[:128])
        if session:
            session = scoped(session, tenant)
            self._sessions.learn(tenant, agent, prompt.chain, session, now_s)
        else:
            session = self._inferred_session(tenant, agent, route, body, prompt, now_s)
        seen = self._note(agent, tenant, prompt, text, bool(name), now_s)
        return Who(
            agent=agent,
            session=session,
            tenant=tenant,
            declared=bool(name),
            fingerprint=prompt.fingerprint,
            label=self._known(agent).label,
            seen=seen,
        )

    def answered(self, response_id: str, who: Who) -> None:
        """`who` got this response; a later request that names it as previous_response_id belongs to the session."""
        self._answers.put((who.tenant, response_id), who.session)

    def session_name(self, name: str, headers: Mapping[str, str], api_key_tenant: str | None) -> str:
        """The full name of a session that a caller calls `name`. Raises IdentityError."""
        tenant = declared_tenant(headers, api_key_tenant)
        where = "the session's name"
        return scoped(self._unreserved(checked_name(name, where), where, tenant), tenant)

    def _unreserved(self, name: str, where: str, tenant: str) -> str:
        """`name`, declared in the header `where` or in what stands for it."""
        owner, slash, _ = name.partition("/")
        if tenant == DEFAULT_TENANT and slash and owner in self._tenants:
            raise IdentityError(f"{where} {name!r}: names that begin with '{owner}/' belong to tenant {owner!r}")
        return name

    def _agent(self, tenant: str, name: str, prompt: Prompt, model: str) -> tuple[str, str]:
        """The agent's full name, and the text to label it by."""
        if name:
            full = scoped(name, tenant)
            if prompt.fingerprint:
                self._claim(tenant, prompt.fingerprint, full)
            return full, prompt.head
        if prompt.fingerprint:
            claimants = self._claims.get((tenant, prompt.fingerprint))
            return claimants[0] if claimants else scoped(f"agent-{prompt.fingerprint[:12]}", tenant), prompt.head
        if prompt.kind:
            table = self._raw.get((tenant, model, prompt.kind))
            if table is None:
                table = self._raw.put((tenant, model, prompt.kind), RawAnchors(LEAST[prompt.kind]))
            if anchor := table.find(prompt.raw):
                text = "" if prompt.kind == "ids" else anchor.text[table.shared :]
                return scoped(f"agent-{anchor.name[:12]}", tenant), text
        return scoped(UNKNOWN, tenant), ""

    def _claim(self, tenant: str, fingerprint: str, agent: str) -> None:
        claimants = self._claims.get((tenant, fingerprint))
        if claimants is None:
            claimants = self._claims.put((tenant, fingerprint), [])
        if agent not in claimants and len(claimants) < MAX_REMEMBERED:
            claimants.append(agent)

    def _inferred_session(
        self, tenant: str, agent: str, route: str, body: Mapping[str, Any], prompt: Prompt, now_s: float
    ) -> str:
        previous = str(body.get("previous_response_id")) if route == RESPONSES_ROUTE else ""
        if known := self._answers.get((tenant, previous)):
            return known
        if prompt.chain:
            return scoped(self._sessions.of_chain(tenant, agent, prompt.chain, now_s), tenant)
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


def first_words(text: str) -> str:
    """The first few words of a text, on one line, printable."""
    words = _BLANKS.sub(" ", text[:512]).strip().split(" ")[:_LABEL_WORDS]
    label = " ".join(words)[:_LABEL_CHARACTERS].rstrip()
    return "".join(character if character.isprintable() else "?" for character in label)


def _is_power_of_two(count: int) -> bool:
    return count & (count - 1) == 0


__all__ = ["DEFAULT_TENANT", "UNKNOWN", "Identities", "IdentityError", "TenantMismatch", "Who", "first_words"]
