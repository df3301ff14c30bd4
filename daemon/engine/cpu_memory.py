"""KV memory management on the CPU: pages of more than one token, and HiCache's host tier.

SGLang's paged allocator launches two Triton kernels and its host pool registers memory with CUDA, both
unconditionally. The same results are computed here with plain tensor operations.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def register() -> None:
    """Replace the kernels of the paged allocator and the host pool's allocation and copy by CPU ones."""
    paged: Any = importlib.import_module("sglang.srt.mem_cache.allocator.paged")
    paged.alloc_extend_kernel = _Launchable(extend_pages)
    paged.alloc_decode_kernel = _Launchable(decode_pages)
    common: Any = importlib.import_module("sglang.srt.mem_cache.pool_host.common")
    common.ALLOC_MEMORY_FUNCS["cpu"] = _allocate_host
    host_mha: Any = importlib.import_module("sglang.srt.mem_cache.pool_host.mha")
    host_mha.transfer_kv_direct = copy_tokens


class _Launchable:
    """Lets a plain function be called as Triton kernels are: `kernel[grid](...)`."""

    def __init__(self, function: Callable[..., None]) -> None:
        self._function = function

    def __getitem__(self, grid: object) -> Callable[..., None]:
        return self._function


def extend_pages(
    prefix_lens: Any, seq_lens: Any, last_loc: Any, free_pages: Any, out: Any, _batch_pow2: int, page_tokens: int
) -> None:
    """Slots for the new tokens of every sequence: the rest of its last page, then fresh pages in order, into `out`.

    A pool that is too small leaves `out` unusable; the allocator finds that by counting and gives up itself.
    """
    paged: Any = importlib.import_module("sglang.srt.mem_cache.allocator.paged")
    pages_needed = int((_pages(seq_lens, page_tokens) - _pages(prefix_lens, page_tokens)).sum())
    if pages_needed <= len(free_pages):
        paged.alloc_extend_naive(prefix_lens, seq_lens, last_loc, free_pages, out, page_tokens, out.device)


def decode_pages(seq_lens: Any, last_loc: Any, free_pages: Any, out: Any, _batch_pow2: int, page_tokens: int) -> None:
    """One slot per sequence for its next token: after the last one, or the start of a fresh page, into `out`."""
    opens_page = (seq_lens - 1) % page_tokens == 0
    needed = int(opens_page.sum())
    out.copy_(last_loc + 1)
    if 0 < needed <= len(free_pages):
        out[opens_page] = free_pages[:needed] * page_tokens


def _pages(tokens: Any, page_tokens: int) -> Any:
    return (tokens + page_tokens - 1) // page_tokens


def _allocate_host(dims: tuple[int, ...], dtype: Any, device: str, **_pinning: object) -> Any:
    torch: Any = importlib.import_module("torch")
    return torch.empty(dims, dtype=dtype, device=device)


def copy_tokens(
    src_layers: list[Any], dst_layers: list[Any], src_indices: Any, dst_indices: Any, page_size: int
) -> None:
    """Copy the K or V rows of `src_indices` to `dst_indices`, layer by layer. Indices count tokens, not pages."""
    del page_size
    for src, dst in zip(src_layers, dst_layers, strict=True):
        dst.view(dst.shape[0], -1)[dst_indices] = src.view(src.shape[0], -1)[src_indices]
