"""What the daemon can be told, and what of it may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from radixdeck.daemon.config import ConfigError, DaemonConfig, load_config, public
from radixdeck.daemon.engine.args import EngineSpec


@pytest.mark.parametrize("password", ["K3", "K3@K3"])
def test_secrets_are_not_for_showing(password: str) -> None:
    spec = EngineSpec(
        sglang_args=("--api-key", "K1", "--admin-api-key=K2", "--tp-size", "2", "--kv-cache-dtype", "auto")
    )
    config = DaemonConfig(broker=f"mqtt://me:{password}@host:1883", api_keys={"K4": "acme"}, engine=spec)
    shown = str(public(config))
    assert not any(secret in shown for secret in ("K1", "K2", "K3", "K4"))
    assert "mqtt://host:1883" in shown
    assert "--tp-size" in shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[policy]\nenabled = ['nonsense']", "no policy named 'nonsense'"),
        ("[policy]\nenabled = ['lru', 'kv_caching']", "eviction"),
        ("[policy.tunables.kv_caching]\nliveness = 7", "liveness"),
        ("[policy.tunables.kv_caching]\ncolour = 7", "colour"),
        ("[policy.tunables.nonsense]\nliveness = 0.5", "nonsense"),
        ("keep_bytes = -1", "keep_bytes"),
        ("max_recording_bytes = 1000", "max_recording_bytes: 1000 is less than 16,777,216"),
        ("broker = 'foo'", "c.toml: broker: 'foo' is not known"),
        ("broker = 'mqtt://host/topic'", "nothing may follow the port"),
        ("[engine]\nkv_tokens = 0", "c.toml: engine.kv_tokens: 0 is not a number of tokens above 0"),
        ("[engine]\ndevice = 'tpu'", "c.toml: engine.device: 'tpu' is none of auto, cpu, cuda"),
        ("[engine]\ncache = 'none'", "c.toml: engine.cache: 'none' is none of radixdeck, sglang"),
        ("[enigne]", "enigne"),
        ("closing_words = 'TERMINATE'", "Expected `array`, got `str` - at `$.closing_words`"),
        ("closing_words = ['DONE', 1]", "Expected `str`, got `int` - at `$.closing_words[1]`"),
        ("closing_words = ['']", "c.toml: closing_words: '' is no word"),
        ("closing_words = [' DONE']", "c.toml: closing_words: ' DONE' begins or ends with white space"),
        (f"closing_words = ['{'W' * 33}']", f"closing_words: '{'W' * 33}' is longer than 32 characters"),
        (f"closing_words = {['W'] * 17}", "closing_words: 17 words are more than 16"),
        ("host = ''", "c.toml: host: '' would be every address of this machine: say 0.0.0.0 if that is meant"),
        ("[api_keys]\nk = 'acme'\nsk-2 = 'acme:b'", "api_keys: the tenant of key 2: letters, digits, '_', '.' and '-'"),
        ("[api_keys]\nk = ''", "api_keys: the tenant of key 1"),
        ("[api_keys]\nk = 'acme'\n' ' = 'acme'", "api_keys: key 2 is empty"),
        ("[api_keys]\nk = 'acme'\n[engine]\nsglang_args = ['--api-key', 'x']", "exclude each other"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.toml") as refused:
        load_config(path)
    assert words in str(refused.value)
    assert "sk-2" not in str(refused.value)


def test_what_was_typed_is_told_from_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[engine]\ndevice = 'cpu'\n[policy.tunables.nonsense]\nliveness = 0.5")
    with pytest.raises(ConfigError, match=r"^--device: 'tpu' is none of auto, cpu, cuda$"):
        load_config(path, {"engine": {"device": "tpu"}})
    with pytest.raises(ConfigError, match=r"^--host: '' would be every address"):
        load_config(path, {"host": ""})
    with pytest.raises(ConfigError, match=r"^--policy: no policy named 'x'"):
        load_config(path, {"policy": {"enabled": ["x"]}})
    with pytest.raises(ConfigError, match=r"c\.toml: policy: no policy named 'nonsense'"):
        load_config(path, {"policy": {"enabled": ["lru"]}})


def test_words_that_close_an_answer_are_those_of_the_file_if_it_has_any(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for text, words in (
        ("", ("TERMINATE",)),
        ("closing_words = []", ()),
        ("closing_words = ['A b', 'C']", ("A b", "C")),
    ):
        path.write_text(text)
        assert load_config(path).closing_words == words


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml")
