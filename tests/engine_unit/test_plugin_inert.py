"""Without RADIXDECK_LINK the plug-in registers names and touches nothing; what fails in it is logged in words."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from radixdeck.daemon.engine import plugin
from radixdeck.daemon.engine.protocol import ENV_LINK
from radixdeck.daemon.engine.stream import Stream
from radixdeck.policies.host import PolicyHost

PROBE = """
import os, sys
from sglang.srt.managers import scheduler  # as in its process; it takes its time, once for both
from sglang.srt.mem_cache import registry
from sglang.srt.plugins import load_plugins
from sglang.srt.plugins.hook_registry import HookRegistry
for link in sys.argv[2:]:
    if (child := os.fork()) != 0:
        os.waitpid(child, 0)
        continue
    os.environ[sys.argv[1]] = link
    load_plugins()
    ours = [source.plugin_name for hooks in HookRegistry._hooks.values() for *_, source in hooks]
    print("PROBE", registry.registered_radix_cache_backends(), len(ours), sorted(HookRegistry._patched), flush=True)
    os._exit(0)
"""


def test_hooks_are_only_installed_when_a_daemon_asked_for_it() -> None:
    env = {**os.environ, ENV_LINK: "", "SGLANG_USE_CPU_ENGINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROBE, ENV_LINK, "", "ipc:///tmp/nobody-listens"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    inert, watched = (line for line in done.stdout.splitlines() if line.startswith("PROBE"))
    for line, hooks in ((inert, 0), (watched, 6)):
        backends, _, rest = line.partition("] ")
        count, _, patched = rest.partition(" ")
        assert "'radixdeck'" in backends
        assert int(count) == hooks
        assert patched.count("sglang.srt") == hooks


def test_a_failure_is_logged_in_words(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("no registry")

    monkeypatch.setattr(plugin, "_register", fail)
    with caplog.at_level(logging.ERROR):
        plugin.load()
    assert "--radix-cache-backend radixdeck is not available" in caplog.text


def test_our_tree_core_alone_is_refused() -> None:
    from sglang.srt.mem_cache.unified_cache.components import ComponentType

    with pytest.raises(TypeError, match="radixdeck"):
        plugin._tree_core(None, {ComponentType.FULL: object()})  # pyright: ignore[reportPrivateUsage]


@contextmanager
def published(**arguments: Any) -> Iterator[None]:
    """SGLang runs with these arguments, and then with the tests' own again."""
    from sglang.srt.runtime_context import get_server_args, publish
    from sglang.srt.server_args import ServerArgs

    before = get_server_args()
    publish(ServerArgs(model_path="none", device="cpu", **arguments), role="scheduler")
    yield
    publish(before, role="scheduler")


@pytest.mark.parametrize(
    ("arguments", "replicas"),
    [({}, 1), ({"dp_size": 2}, 2), ({"tp_size": 4, "dp_size": 2, "enable_dp_attention": True}, 2)],
)
def test_the_engine_says_how_many_replicas_requests_go_to(arguments: dict[str, Any], replicas: int) -> None:
    pool = SimpleNamespace(size=9, device="cpu")
    params = SimpleNamespace(token_to_kv_pool_allocator=pool, page_size=1)
    ctx = SimpleNamespace(params=params, model_config=SimpleNamespace(model_path="m"))
    stream = Stream(PolicyHost(["lru"]), lambda _: None)
    with published(**arguments):
        started = plugin._started(ctx, stream, 0)  # pyright: ignore[reportPrivateUsage]
    assert (started.capacity_tokens, started.replicas) == (9, replicas)
