"""Exact prefill attention on the CPU that costs what the new tokens cost.

SGLang's torch_native backend pads the query to the whole sequence, so that a cached prefix saves no attention at all.
Here the query is the new tokens only, under the same causal mask; everything else is the stock backend's.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

BACKEND = "torch_native"


def register() -> None:
    """Put the backend in place of the stock one in SGLang's registry; it is built when a model runner asks for it."""
    registry: Any = importlib.import_module("sglang.srt.layers.attention.attention_registry")
    registry.ATTENTION_BACKENDS[BACKEND] = _create


def _create(runner: Any) -> Any:
    stock: Any = importlib.import_module("sglang.srt.layers.attention.torch_native_backend").TorchNativeAttnBackend
    logging.getLogger(__name__).info("radixdeck: prefill attention on the CPU for new tokens only")
    return _backend_class(stock)(runner)


def _backend_class(stock: Any) -> Any:
    stock_extend: Any = stock._run_sdpa_forward_extend

    class NewTokensOnly(stock):
        """torch_native with a prefill that computes no attention for cached tokens."""

        def _run_sdpa_forward_extend(self, *args: Any, **options: Any) -> Any:
            encoder_lens = args[9] if len(args) > 9 else options.get("encoder_lens")
            window = options.get("sliding_window_size")
            windowed = window is not None and window > -1
            if encoder_lens is not None or len(args) > 10 or not options.get("causal") or windowed:
                return stock_extend(self, *args, **options)
            return extend(*args[:9], scale=options.get("scaling"), grouped=bool(options.get("enable_gqa")))

    return NewTokensOnly


def extend(
    query: Any,
    output: Any,
    k_cache: Any,
    v_cache: Any,
    req_to_token: Any,
    req_pool_indices: Any,
    seq_lens: Any,
    prefix_lens: Any,
    new_lens: Any,
    *,
    scale: float | None,
    grouped: bool,
) -> Any:
    """Causal attention of each sequence's new tokens over all of its tokens, written to `output` and returned.

    `query`, `output`: [new tokens of the batch, heads, head size]; `k_cache`, `v_cache`: [slots, kv heads, head size];
    `req_to_token`: [requests, context] slot of every token; the rest: one entry per sequence, in tokens.
    """
    torch: Any = importlib.import_module("torch")
    attend: Any = torch.nn.functional.scaled_dot_product_attention
    start = 0
    for row, total, prefix, new in zip(
        req_pool_indices.tolist(), seq_lens.tolist(), prefix_lens.tolist(), new_lens.tolist(), strict=True
    ):
        slots = req_to_token[row, :total]
        q = query[start : start + new].transpose(0, 1).unsqueeze(0)
        k = k_cache[slots].transpose(0, 1).unsqueeze(0).to(q.dtype)
        v = v_cache[slots].transpose(0, 1).unsqueeze(0).to(q.dtype)
        whole = prefix == 0
        mask = None if whole or new == 1 else torch.ones(new, total, dtype=torch.bool).tril(prefix)
        out = attend(q, k, v, attn_mask=mask, is_causal=whole and new > 1, scale=scale, enable_gqa=grouped)
        output[start : start + new] = out.squeeze(0).transpose(0, 1)
        start += new
    return output
