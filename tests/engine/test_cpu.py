"""The CPU fill-ins compute what SGLang's own code would, and stay out of the way where there is a GPU."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any

import pytest

from radixdeck.daemon.engine import cpu, cpu_attention, cpu_memory

SEEN = """
import os, sys
from radixdeck.daemon.engine import cpu
cpu.activate(); cpu.activate()
print([path for path in sys.path if "cpu_stubs" in path], os.environ.get("SGLANG_USE_CPU_ENGINE"))
"""


@pytest.fixture(scope="module")
def torch() -> Any:
    os.environ.setdefault("SGLANG_USE_CPU_ENGINE", "1")
    importlib.import_module("sglang.srt.utils.common")
    return importlib.import_module("torch")


def test_stand_ins_come_last_and_once() -> None:
    ran = subprocess.run([sys.executable, "-c", SEEN], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"[{str(cpu.STAND_INS)!r}] 1"


def test_nothing_happens_with_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_accelerator", lambda: True)
    monkeypatch.delenv("SGLANG_USE_CPU_ENGINE", raising=False)
    before = list(sys.path)
    cpu.activate()
    assert sys.path == before
    assert "SGLANG_USE_CPU_ENGINE" not in os.environ


def test_a_stand_in_says_what_it_is(torch: Any) -> None:
    stand_in: Any = importlib.import_module("radixdeck.daemon.engine.cpu_stubs.sgl_kernel")
    with pytest.raises(NotImplementedError, match="install sglang-kernel"):
        stand_in.verify_tree_greedy_cpu()


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2)])
def test_attention_equals_the_stock_backend(torch: Any, heads: int, kv_heads: int) -> None:
    backend: Any = importlib.import_module("sglang.srt.layers.attention.torch_native_backend").TorchNativeAttnBackend
    torch.manual_seed(0)
    slots, size = 256, 16
    k_cache, v_cache = torch.randn(slots, kv_heads, size), torch.randn(slots, kv_heads, size)
    prefix, new = torch.tensor([0, 40, 7, 63]), torch.tensor([30, 1, 25, 1])
    rows = torch.randperm(slots)[: 4 * 64].view(4, 64)
    query = torch.randn(int(new.sum()), heads, size)
    where = (rows, torch.tensor([2, 0, 3, 1]), prefix + new, prefix, new)
    stock = backend._run_sdpa_forward_extend(
        object.__new__(backend), query, torch.empty_like(query), k_cache, v_cache, *where,
        scaling=0.3, enable_gqa=heads != kv_heads, causal=True,
    )  # fmt: skip
    ours = cpu_attention.extend(
        query, torch.empty_like(query), k_cache, v_cache, *where, scale=0.3, grouped=heads != kv_heads
    )
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("page", [4, 16])
def test_paged_allocation_gives_every_token_its_own_slot(torch: Any, page: int) -> None:
    paged: Any = importlib.import_module("sglang.srt.mem_cache.allocator.paged")
    cpu_memory.register()
    allocator = paged.PagedTokenToKVPoolAllocator(page * 64, page, torch.float32, "cpu", None, False)
    lens, last, held = torch.tensor([0, 0, 0]), torch.tensor([-1, -1, -1]), [list[int](), list[int](), list[int]()]
    for grown in ([5, 16, 1], [3, 7, 20]):
        after = lens + torch.tensor(grown)
        out = allocator.alloc_extend(lens, lens, after, after, last, sum(grown))
        for row, part in enumerate(out.split(grown)):
            held[row] += part.tolist()
        lens, last = after, torch.tensor([slots[-1] for slots in held])
    for _ in range(page + 1):
        lens = lens + 1
        out = allocator.alloc_decode(lens, lens, last)
        for row, slot in enumerate(out.tolist()):
            held[row].append(slot)
        last = out
    everything = [slot for slots in held for slot in slots]
    assert len(set(everything)) == len(everything)
    for slots in held:
        assert all(slot % page == at % page for at, slot in enumerate(slots))


def test_an_empty_pool_is_refused_not_overrun(torch: Any) -> None:
    paged: Any = importlib.import_module("sglang.srt.mem_cache.allocator.paged")
    cpu_memory.register()
    allocator = paged.PagedTokenToKVPoolAllocator(8, 4, torch.float32, "cpu", None, False)
    none, ten = torch.tensor([0]), torch.tensor([10])
    assert allocator.alloc_extend(none, none, ten, ten, torch.tensor([-1]), 10) is None


def test_host_copies_move_the_rows_they_name(torch: Any) -> None:
    source, target = torch.arange(24.0).view(6, 2, 2), torch.zeros(6, 2, 2)
    cpu_memory.copy_tokens([source], [target], torch.tensor([1, 4]), torch.tensor([5, 0]), 1)
    assert torch.equal(target[5], source[1])
    assert torch.equal(target[0], source[4])
    assert int(target[1:5].abs().sum()) == 0
