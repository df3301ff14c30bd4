"""What the daemon can be told, in one place: a TOML file, overridden by what was typed on the command line.

An unknown key or a wrong type is refused with the file and the key named. Each field's meaning is the comment above it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from radixdeck.policies.doorkeeping import RulesError
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.identity.declared import TENANT
from radixdeck.policies.identity.last_words import CLOSING_WORDS, why_unusable
from radixdeck.policies.parameters import TunableError
from radixdeck.policies.registry import PolicyError

from .broker import BrokerError, check_setting
from .engine.args import EngineSpec
from .replica_urls import ReplicaError, read_replicas, without_key
from .rules_files import checked_rules

CONFIG_NAME = "radixdeck.toml"
LEAST_RECORDING_BYTES = 16 << 20
_SECRET = re.compile(r"^--.*(api-key|password|secret|auth-token)")


TYPED = {
    "host": "--host", "port": "--port", "node": "--node", "broker": "--broker", "home": "--home",
    "engine.model": "MODEL", "engine.kv_tokens": "--kv-tokens", "engine.device": "--device",
    "engine.replicas": "--replica", "policy.enabled": "--policy",
}  # fmt: skip
"""Keys that the command line has too, and what they are called there."""

Place = Callable[[str], str]
"""Where a key was set: its file and name, or the option that was typed."""


class ConfigError(ValueError):
    """The configuration cannot be used. The message names the file and the key, or what was typed, and says what is
    allowed."""


class PolicySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Policies that are on at start; at most one that orders the cache.
    enabled: list[str] = msgspec.field(default_factory=lambda: ["kv_caching"])
    # Tunables by policy: [policy.tunables.kv_caching] name = value
    tunables: dict[str, dict[str, float]] = {}
    # Files of rules by policy, read again when they change: [policy.rules] safety = "safety.toml"
    rules: dict[str, str] = {}


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Name of this daemon on the broker; letters, digits, '_', '.', '-'.
    node: str = ""
    # Where the OpenAI-compatible front listens. Loopback unless you say otherwise.
    host: str = "127.0.0.1"
    # 0 picks a free port.
    port: int = 8330
    # auto | mosquitto | amqtt | mqtt://user:password@host:port | mqtts://...
    broker: str = "auto"
    # Recordings, logs, models made on the spot and run-time files live here.
    home: str = ""
    # Delete the oldest recordings when together they are larger than this.
    keep_bytes: int = 20 << 30
    # A recording that is larger goes on in another file, with which the oldest are looked at again; at least 16 MiB.
    max_recording_bytes: int = 4 << 30
    # Keep the text of each agent's system messages and tools in the recording, for the console's page of the agent. It
    # is never on the broker. Off: only its first words are known, by which an agent without a name is called.
    record_anchors: bool = False
    # API key -> tenant: letters, digits, '_', '.', '-'. With keys set, every request needs one.
    api_keys: dict[str, str] = {}
    # An answer whose last word is one of these says that its task is over, as AutoGen's do: its session will likely
    # not go on. At most 16, of 32 characters each, capitals count; none: answers are not looked at for that.
    closing_words: tuple[str, ...] = CLOSING_WORDS
    # Where the names that callers give agents or sessions do not hold (a new one with each request, or any by chance),
    # go by what is sent instead: agents by their system prompts and tools, sessions by what was said. Off: never.
    doubt_names: bool = True
    engine: EngineSpec = EngineSpec()
    policy: PolicySection = PolicySection()


def default_node() -> str:
    """This machine's host name, reduced to what a topic may hold."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64] or "node"


def load_config(path: Path | None, overrides: dict[str, Any] | None = None) -> DaemonConfig:
    """Read `path` (or ./radixdeck.toml if it is there) and lay `overrides` over it, key by key.

    Raises ConfigError for a missing or unreadable file, an unknown key, a wrong type or a value out of range.
    """
    if path is None and Path(CONFIG_NAME).is_file():
        path = Path(CONFIG_NAME)
    where = str(path) if path else "command line"
    told: dict[str, Any] = {}
    if path is not None:
        try:
            told = msgspec.toml.decode(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"{where}: cannot be read: {error.strerror or error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: not valid TOML: {error}") from error
    above = overrides or {}

    def place(key: str) -> str:
        return TYPED[key] if key in TYPED and _at(above, key) is not None else f"{where}: {key}"

    merged = _laid_over(told, above)
    try:
        config = msgspec.convert(merged, DaemonConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(_in_words(error, merged, where, place)) from error
    return _checked(config, where, place)


def _at(told: dict[str, Any], key: str) -> Any:
    """What was told by the name of `key`, such as engine.device; None if nothing was."""
    found: Any = told
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - TOML is untyped until converted
    return found  # pyright: ignore[reportUnknownVariableType]


def _in_words(error: msgspec.ValidationError, told: dict[str, Any], where: str, place: Place) -> str:
    why, _, key = str(error).removesuffix("`").partition(" - at `$.")
    if why.startswith("Invalid enum value"):
        return f"{place(key)}: {_at(told, key)!r} is none of {', '.join(_choices(key))}"
    return f"{place(key)}: {why}" if key in TYPED and place(key) == TYPED[key] else f"{where}: {error}"


def _choices(key: str) -> tuple[str, ...]:
    """The values that a key may have, from its type."""
    kind: Any = DaemonConfig
    for part in key.split("."):
        kind = get_type_hints(kind)[part]
    return get_args(kind)


def _laid_over(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in above.items():
        below = merged.get(key)
        merged[key] = _laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value  # pyright: ignore[reportUnknownArgumentType] - TOML is untyped until converted
    return merged


def _checked(config: DaemonConfig, where: str, place: Place) -> DaemonConfig:
    if not config.host:
        raise ConfigError(f"{place('host')}: '' would be every address of this machine: say 0.0.0.0 if that is meant")
    if not 0 <= config.port <= 65535:
        raise ConfigError(f"{place('port')}: {config.port} is not between 0 and 65535")
    node = config.node or default_node()
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", node):
        raise ConfigError(f"{place('node')}: {node!r}: letters, digits, '_', '.' and '-' only, at most 64")
    try:
        check_setting(config.broker)
    except BrokerError as error:
        raise ConfigError(f"{place('broker')}: {str(error).removeprefix('broker ')}") from error
    _check_keys(config, where)
    if config.engine.kv_tokens is not None and config.engine.kv_tokens < 1:
        raise ConfigError(f"{place('engine.kv_tokens')}: {config.engine.kv_tokens} is not a number of tokens above 0")
    _check_policies(config.policy, where, place)
    try:
        read_replicas(config.engine.replicas)
    except ReplicaError as error:
        raise ConfigError(f"{place('engine.replicas')}: {error}") from error
    if why := why_unusable(config.closing_words):
        raise ConfigError(f"{where}: closing_words: {why}")
    if config.keep_bytes < 0:
        raise ConfigError(f"{where}: keep_bytes: {config.keep_bytes} is negative")
    if config.max_recording_bytes < LEAST_RECORDING_BYTES:
        raise ConfigError(
            f"{where}: max_recording_bytes: {config.max_recording_bytes} is less than {LEAST_RECORDING_BYTES:,}"
        )
    return msgspec.structs.replace(config, node=node)


def _check_keys(config: DaemonConfig, where: str) -> None:
    """A tenant of another form could reach into the cache of another one, or be nobody, who is the default. Neither key
    nor tenant is quoted: they may have been confused."""
    told = f"{where}: api_keys"
    for number, (key, tenant) in enumerate(config.api_keys.items(), 1):
        if not key.strip():
            raise ConfigError(f"{told}: key {number} is empty")
        if not TENANT.fullmatch(tenant):
            raise ConfigError(f"{told}: the tenant of key {number}: letters, digits, '_', '.' and '-' only, 1 to 64")
    if config.api_keys and engine_key(config):
        raise ConfigError(f"{told} and SGLang's --api-key exclude each other: callers' keys end at the front")


def _check_policies(policy: PolicySection, where: str, place: Place) -> None:
    try:
        PolicyHost(policy.enabled, {})
    except PolicyError as error:
        enabled = place("policy.enabled")
        joined = enabled == "--policy" and any("," in name for name in policy.enabled)
        raise ConfigError(f"{enabled}: {error}{' (repeat --policy)' if joined else ''}") from error
    try:
        PolicyHost(policy.enabled, policy.tunables)
        checked_rules(policy.rules)
    except (PolicyError, TunableError, RulesError) as error:
        raise ConfigError(f"{where}: policy: {error}") from error


def engine_key(config: DaemonConfig) -> str | None:
    """The key that SGLang's server was told to ask for (`--api-key` among its arguments), for our own calls to it."""
    words = [part for word in config.engine.sglang_args for part in word.split("=", 1)]
    return words[words.index("--api-key") + 1] if "--api-key" in words[:-1] else None


def public(config: DaemonConfig) -> dict[str, Any]:
    """The configuration as it may be recorded and shown: without keys, passwords and tokens."""
    engine = msgspec.structs.replace(
        config.engine, sglang_args=_without_secrets(config.engine.sglang_args),
        replicas=tuple(without_key(url) for url in config.engine.replicas),
    )  # fmt: skip
    shown = msgspec.structs.replace(config, api_keys={}, broker=without_key(config.broker), engine=engine)
    return msgspec.to_builtins(shown)


def _without_secrets(words: tuple[str, ...]) -> tuple[str, ...]:
    shown: list[str] = []
    for before, word in zip(("", *words), words, strict=False):
        name, equals, _ = word.partition("=")
        if _SECRET.search(before) and not word.startswith("--"):
            shown.append("***")
        else:
            shown.append(f"{name}=***" if equals and _SECRET.search(name) else word)
    return tuple(shown)
