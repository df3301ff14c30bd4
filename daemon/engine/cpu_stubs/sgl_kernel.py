"""Stand-in for sglang-kernel on the CPU: the names that SGLang imports unconditionally there.

They serve speculative decoding and AMX kernels. Nothing is registered under `torch.ops.sgl_kernel`, because SGLang
takes the AMX path as soon as it finds an operator there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn


def _absent(name: str) -> Callable[..., NoReturn]:
    def call(*_args: object, **_kwargs: object) -> NoReturn:
        raise NotImplementedError(f"sgl_kernel.{name} is a stand-in for the CPU: install sglang-kernel to use it")

    call.__name__ = name
    return call


assign_extend_cache_locs_cpu = _absent("assign_extend_cache_locs_cpu")
assign_req_to_token_pool_cpu = _absent("assign_req_to_token_pool_cpu")
build_tree_kernel_efficient_cpu = _absent("build_tree_kernel_efficient_cpu")
copy_all_layer_kv_cache_cpu = _absent("copy_all_layer_kv_cache_cpu")
fill_accept_out_cache_loc_cpu = _absent("fill_accept_out_cache_loc_cpu")
fill_bonus_tokens_cpu = _absent("fill_bonus_tokens_cpu")
verify_tree_greedy_cpu = _absent("verify_tree_greedy_cpu")
