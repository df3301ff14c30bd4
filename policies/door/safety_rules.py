"""The rules of the safety policy: a TOML file, checked key by key.

    [everybody]                      # holds for each agent on its own
    max_output_tokens = 4096

    [agents.coder]                   # in place of [everybody], value by value
    tools = ["search", "read_*"]
    requests_per_minute = 60

    [tenants.acme]                   # holds for all agents of the tenant together, on top of the above
    models = ["qwen*"]
    tokens_per_day = 2_000_000

An agent names itself, a tenant is proven by its API key: what must hold whoever somebody claims to be belongs into a
tenant's table. Agents of a tenant other than 'default' are called `<tenant>/<name>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import msgspec

from .rules_text import read_toml, table_as, wrong

SECTIONS = ("everybody", "agents", "tenants")
_Count = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
_Names = list[Annotated[str, msgspec.Meta(min_length=1)]]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be done; None: not said. `models`, `tools`: shell patterns, a request may name nothing else. `agents`:
    who may ask at all. `over_output`: what becomes of a request that wants more than `max_output_tokens`; one that
    does not say how much it wants is held to it either way."""

    models: _Names | None = None
    tools: _Names | None = None
    agents: _Names | None = None
    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    tokens_per_day: _Count | None = None
    max_output_tokens: _Count | None = None
    over_output: Literal["cut", "refuse"] | None = None


class Rules(msgspec.Struct, frozen=True):
    """All that is said. `agents` already hold what [everybody] says where they say nothing."""

    everybody: Limits = Limits()
    agents: dict[str, Limits] = {}
    tenants: dict[str, Limits] = {}

    def of_agent(self, agent: str) -> Limits:
        return self.agents.get(agent, self.everybody)


def read_rules(text: str) -> Rules:
    """The rules in a TOML text. Raises RulesError naming key and line."""
    told = read_toml(text)
    for name in told:
        if name not in SECTIONS:
            raise wrong(text, [name], f"unknown table; known: {', '.join(SECTIONS)}")
    everybody = table_as(text, ["everybody"], told.get("everybody", {}), Limits)
    agents, tenants = (
        {name: table_as(text, [section, name], limits, Limits) for name, limits in _tables(text, told, section).items()}
        for section in ("agents", "tenants")
    )
    return Rules(everybody, {name: _laid_over(everybody, limits) for name, limits in agents.items()}, tenants)


def _tables(text: str, told: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    tables = told.get(section, {})
    if not isinstance(tables, dict):
        raise wrong(text, [section], f"must be tables [{section}.<name>]")
    return cast("dict[str, Any]", tables)


def _laid_over(base: Limits, above: Limits) -> Limits:
    said = {name: value for name, value in msgspec.structs.asdict(above).items() if value is not None}
    return msgspec.structs.replace(base, **said)
