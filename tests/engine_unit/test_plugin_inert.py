"""Without RADIXDECK_LINK the plug-in registers names and touches nothing; what fails in it is logged in words."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from radixdeck.daemon.engine import plugin
from radixdeck.daemon.engine.protocol import ENV_LINK

PROBE = """
from sglang.srt.plugins import load_plugins
from sglang.srt.plugins.hook_registry import HookRegistry
load_plugins()
from sglang.srt.mem_cache import registry
ours = [source.plugin_name for hooks in HookRegistry._hooks.values() for *_, source in hooks]
print(registry.registered_radix_cache_backends(), len(ours), sorted(HookRegistry._patched))
"""


@pytest.mark.parametrize(("link", "hooks"), [("", 0), ("ipc:///tmp/nobody-listens", 6)])
def test_hooks_are_only_installed_when_a_daemon_asked_for_it(link: str, hooks: int) -> None:
    env = {**os.environ, ENV_LINK: link, "SGLANG_USE_CPU_ENGINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE], env=env, capture_output=True, text=True, check=True)
    backends, _, rest = done.stdout.strip().splitlines()[-1].partition("] ")
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
