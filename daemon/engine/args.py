"""The command line and environment that SGLang's own server is started with."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from ..clock import ANCHOR_NS, ENV_ANCHOR
from .dtype import DType, native_dtype
from .protocol import BACKEND, ENV_LINK, ENV_SETUP, EngineSetup

Size = Literal["demo", "tiny", "8b", "32b"]
WEIGHTLESS: frozenset[Size] = frozenset(("8b", "32b"))
"""Sizes of the model made on the spot that are only a shape: SGLang draws the weights."""
CPU_KV_TOKENS = 32_768
"""KV pool on a CPU if nothing is said: SGLang would take most of the machine's memory."""
_CPU_RUNNING_REQUESTS = 64  # SGLang reserves a context's worth of slots for each


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which engine to run. Anything SGLang's server understands goes through `sglang_args` and wins over ours."""

    # Model id or path as SGLang takes it; empty: a small one made on the spot.
    model: str = ""
    # Size of the model made on the spot: demo, tiny, or with random weights and for a GPU 8b, 32b.
    size: Size = "demo"
    # auto takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Interpreter that has SGLang; empty: this one.
    python: str = ""
    # Arguments of `python -m sglang.launch_server`.
    sglang_args: tuple[str, ...] = ()
    # Tokens in the KV pool; none: as much as SGLang takes, on a CPU 32,768.
    kv_tokens: int | None = None
    # radixdeck: agent-aware radix cache; sglang: SGLang's own, with no plug-in of ours, for baselines.
    cache: Literal["radixdeck", "sglang"] = "radixdeck"
    # URLs of other servers with the same model, for policy `hedging`; a key is the password: http://:key@host:port
    replicas: tuple[str, ...] = ()
    # Port of SGLang's server on loopback; 0 picks a free one at each start.
    port: int = 0

    @property
    def interpreter(self) -> str:
        return self.python or sys.executable


def device_of(spec: EngineSpec) -> Literal["cpu", "cuda"]:
    """What the engine computes on. `cuda` also stands for ROCm, as in torch."""
    if spec.device != "auto":
        return spec.device
    return "cuda" if gpu_count() > 0 or Path("/dev/kfd").exists() else "cpu"


def dtype_of(spec: EngineSpec) -> DType:
    """What the model made on the spot is written and computed in."""
    return native_dtype() if device_of(spec) == "cpu" and spec.size not in WEIGHTLESS else "bfloat16"


def hint(spec: EngineSpec) -> str:
    """What whoever serves a model of their own on a CPU may not know; empty if there is nothing to say."""
    on_cpu = device_of(spec) == "cpu" and _given(spec.sglang_args, "--device") in (None, "cpu")
    decided = not spec.model or _given(spec.sglang_args, "--dtype") is not None
    if decided or not on_cpu or native_dtype() != "float32":
        return ""
    return "this CPU has no AMX: with `-- --dtype float32` SGLang may compute many times faster"


@cache
def gpu_count() -> int:
    """Number of CUDA devices the driver shows this process, 0 without a driver. Asks the driver, not torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def command(spec: EngineSpec, model_path: str, port: int) -> list[str]:
    """Full command line for `spec`, serving the model at `model_path` on `port`."""
    ours: dict[str, str | None] = {
        "--model-path": model_path,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--enable-cache-report": None,
        "--sleep-on-idle": None,
        "--log-level-http": "warning",
    }
    kv_tokens = spec.kv_tokens
    if device_of(spec) == "cpu":
        kv_tokens = kv_tokens or CPU_KV_TOKENS
        ours |= {
            "--device": "cpu",
            "--attention-backend": "torch_native",
            "--sampling-backend": "pytorch",
            "--max-running-requests": str(_CPU_RUNNING_REQUESTS),
        }
    if not spec.model:
        ours |= {"--served-model-name": f"radixdeck-{spec.size}", "--tool-call-parser": "qwen"}
        if device_of(spec) == "cpu":
            ours["--dtype"] = dtype_of(spec)  # of float32 SGLang would make float16, which many CPUs only emulate
        if spec.size in WEIGHTLESS:
            ours["--load-format"] = "dummy"
    if kv_tokens is not None:
        ours["--max-total-tokens"] = str(kv_tokens)
    if spec.cache == "radixdeck":
        ours["--radix-cache-backend"] = BACKEND
    words = [spec.interpreter, "-m", "sglang.launch_server"]
    for flag, value in ours.items():
        if _given(spec.sglang_args, flag) is None:
            words += [flag] if value is None else [flag, value]
    return [*words, *spec.sglang_args]


def environment(spec: EngineSpec, setup: EngineSetup, link: str) -> dict[str, str]:
    """The engine's environment: this process's, link and clock for our plug-in, and what a quiet machine needs."""
    env = dict(os.environ)
    for name in (ENV_LINK, ENV_SETUP, ENV_ANCHOR):
        env.pop(name, None)
    if spec.cache == "radixdeck":
        env[ENV_LINK] = link
        env[ENV_ANCHOR] = str(ANCHOR_NS)
        env[ENV_SETUP] = msgspec.json.encode(setup).decode()
    env["PYTHONUNBUFFERED"] = "1"
    env["PYTHONSAFEPATH"] = "1"  # what lies in the working directory must not shadow a package
    env.setdefault("TOKENIZERS_PARALLELISM", "false")
    # SGLang's /health otherwise generates a token, which takes a second and leaves a trace in the cache.
    env.setdefault("SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION", "false")
    # The front names requests on routes whose body cannot (x-override-rid); callers' own are dropped there.
    env.setdefault("SGLANG_ENABLE_REQUEST_HEADER_OVERRIDES", "1")
    # Its warm-up calls itself over HTTP, which must not go through a proxy.
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), "127.0.0.1,localhost"]))
    if device_of(spec) == "cpu":
        env.setdefault("OMP_NUM_THREADS", "1")
        env["CUDA_VISIBLE_DEVICES"] = ""
        env["SGLANG_USE_CPU_ENGINE"] = "1"
    if not spec.model:
        env["HF_HUB_OFFLINE"] = "1"
    return env


def priorities(spec: EngineSpec) -> int:
    """How the engine takes a request's priority: 1 higher ones first, -1 lower ones first, 0 not at all.

    Off unless `sglang_args` switch it on: with SGLang's priority scheduling a full batch is looked at again at every
    step for somebody to preempt, which counts as a use of what is cached, so the cache would not do what stock SGLang's
    does even if nobody sets a priority; and it runs with the orders fcfs and lof only.
    """
    if _given(spec.sglang_args, "--enable-priority-scheduling") is None:
        return 0
    return 1 if _given(spec.sglang_args, "--schedule-low-priority-values-first") is None else -1


def address(spec: EngineSpec, port: int) -> tuple[str, int]:
    """Host and port at which this machine reaches the server, when `sglang_args` may have moved it."""
    host = _given(spec.sglang_args, "--host") or "127.0.0.1"
    told = _given(spec.sglang_args, "--port")
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return everywhere.get(host, host), int(told) if told and told.isdecimal() else port


def _given(words: tuple[str, ...], flag: str) -> str | None:
    """The value given to `flag` in `words`, empty for a switch, None if it is not there. Knows `--flag=value`."""
    for at, word in enumerate(words):
        if word == flag:
            following = words[at + 1] if at + 1 < len(words) else ""
            return "" if following.startswith("--") else following
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None
