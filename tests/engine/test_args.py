"""The command line and environment of the engine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from radixdeck.daemon.clock import ENV_ANCHOR
from radixdeck.daemon.engine import args
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.dtype import native_dtype
from radixdeck.daemon.engine.protocol import ENV_LINK, ENV_SETUP, EngineSetup


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_cpu_recipe() -> None:
    words = args.command(EngineSpec(device="cpu"), "/models/m", 4321)
    assert words[1:5] == ["-m", "sglang.launch_server", "--model-path", "/models/m"]
    assert value(words, "--port") == "4321"
    assert value(words, "--host") == "127.0.0.1"
    assert value(words, "--attention-backend") == "torch_native"
    assert value(words, "--radix-cache-backend") == "radixdeck"
    assert value(words, "--max-total-tokens") == str(args.CPU_KV_TOKENS)
    assert {"--sleep-on-idle", "--enable-cache-report"} <= set(words)


@pytest.mark.parametrize("flags", ["flags : fma avx512f", "flags : avx512f amx_bf16"])
def test_the_model_made_on_the_spot_is_computed_in_its_own_type(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    def read_text(_path: Path, encoding: str) -> str:
        return flags if encoding == "utf-8" else ""

    monkeypatch.setattr(Path, "read_text", read_text)
    made = native_dtype()
    assert made == ("bfloat16" if "amx" in flags else "float32")
    assert value(args.command(EngineSpec(device="cpu"), "m", 1), "--dtype") == made
    given = EngineSpec(device="cpu", sglang_args=("--dtype=float16",))
    own = EngineSpec(device="cpu", model="org/model")
    for spec in (given, own, EngineSpec(device="cuda")):
        assert "--dtype" not in args.command(spec, "m", 1)
    assert ("--dtype float32" in args.hint(own)) == ("amx" not in flags)
    told = msgspec.structs.replace(own, sglang_args=("--dtype", "bfloat16"))
    elsewhere = msgspec.structs.replace(own, sglang_args=("--device", "xpu"))
    for spec in (given, told, elsewhere, EngineSpec(device="cpu"), EngineSpec(device="cuda", model="org/model")):
        assert args.hint(spec) == ""


def test_gpu_leaves_the_choices_to_sglang() -> None:
    words = args.command(EngineSpec(device="cuda", model="org/model"), "org/model", 1)
    assert not {"--attention-backend", "--max-total-tokens", "--device", "--served-model-name"} & set(words)


def test_what_the_user_gives_wins() -> None:
    spec = EngineSpec(device="cpu", sglang_args=("--max-total-tokens=99", "--attention-backend", "flex_attention"))
    words = args.command(spec, "m", 1)
    assert words.count("--attention-backend") == 1
    assert value(words, "--attention-backend") == "flex_attention"
    assert "--max-total-tokens" not in words
    assert "--max-total-tokens=99" in words


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), ("127.0.0.1", 7)),
        (("--port", "8123"), ("127.0.0.1", 8123)),
        (("--host=0.0.0.0", "--port=8123"), ("127.0.0.1", 8123)),
        (("--host", "::"), ("::1", 7)),
        (("--port", "garbage"), ("127.0.0.1", 7)),
        (("--port",), ("127.0.0.1", 7)),
    ],
)
def test_address_follows_the_users_arguments(given: tuple[str, ...], expected: tuple[str, int]) -> None:
    assert args.address(EngineSpec(sglang_args=given), 7) == expected


def test_the_baseline_has_no_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_LINK, "ipc:///left/over")
    monkeypatch.setenv(ENV_ANCHOR, "1")
    stock = EngineSpec(device="cpu", cache="sglang")
    assert "--radix-cache-backend" not in args.command(stock, "m", 1)
    assert not {ENV_LINK, ENV_SETUP, ENV_ANCHOR} & args.environment(stock, EngineSetup(), "ipc:///x").keys()


def test_environment_carries_link_and_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "internal.example")
    setup = EngineSetup(policies=["kv_caching"], tunables={"kv_caching": {"weight": 2.0}})
    env = args.environment(EngineSpec(device="cpu"), setup, "ipc:///x")
    assert env[ENV_LINK] == "ipc:///x"
    assert msgspec.json.decode(env[ENV_SETUP], type=EngineSetup) == setup
    assert env["NO_PROXY"] == "internal.example,127.0.0.1,localhost"
    assert env["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("garbage", [{"size": "huge"}, {"cache": "lru"}, {"kv_tokens": "many"}, {"modle": "x"}])
def test_bad_spec_names_the_field(garbage: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(garbage))):
        msgspec.convert(garbage, EngineSpec)
