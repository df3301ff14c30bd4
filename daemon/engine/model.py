"""A dense model made on the spot: random weights, nothing downloaded, ready in seconds.

The small ones make a machine without a GPU run the real engine. What they say is noise, but it depends on the prompt,
ends by itself after some dozens of tokens, and a cached prefix is visibly faster than an uncached one. The large ones
are for measuring on a GPU: of them only the shape and the tokenizer are written, SGLang draws the weights itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import model_tokenizer
from .args import WEIGHTLESS, Size
from .dtype import DType, native_dtype

Weights = npt.NDArray[np.float32]

_SEED = 20_260_101
_LOGIT_STD = 4.0
_END_STD = 6.0  # the greatest of 4,096 logits is near 14: the end token beats it about once in 70 tokens
_QUERY_STD = 3.0  # sharp attention: what is said depends on single tokens far back


class Shape(NamedTuple):
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int


TINY = Shape(128, 2, 4, 2, 256)
SHAPES: dict[Size, dict[DType, Shape]] = {
    "tiny": {"bfloat16": TINY, "float32": TINY},
    "demo": {"bfloat16": Shape(512, 8, 8, 4, 1024), "float32": Shape(320, 5, 5, 1, 640)},
    "8b": {"bfloat16": Shape(4096, 32, 32, 8, 14_336)},
    "32b": {"bfloat16": Shape(5120, 64, 40, 8, 27_648)},
}
"""8b and 32b: as Llama 3 8B (arXiv 2407.21783, table 3) and Qwen2.5 32B (arXiv 2412.15115, table 1). A CPU without
matrix units gets a smaller demo model, so that a prefill takes about as long as with them. Tokens, and so hit rates,
are the same for all."""


def folder_name(size: Size, dtype: DType) -> str:
    """Name that changes with everything the model is made from."""
    made_from = blake2b(digest_size=6)
    for source in (*model_tokenizer.SOURCES, Path(__file__)):
        made_from.update(source.read_bytes())
    return f"{size}-{dtype}-{made_from.hexdigest()}"


def make(out: Path, size: Size, dtype: DType | None = None) -> Path:
    """Path of the finished model under `out`, made if it is not there. Processes doing this at once do no harm:

    each builds in a folder of its own and the first to rename it wins. Raises OSError if `out` cannot be written.
    """
    chosen = "bfloat16" if size in WEIGHTLESS else dtype or native_dtype()
    final = out / folder_name(size, chosen)
    if final.is_dir():
        return final
    out.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=out))
    try:
        _write(building, SHAPES[size][chosen], chosen, weights=size not in WEIGHTLESS)
        building.chmod(0o755)
        os.rename(building, final)
    except OSError:
        if not final.is_dir():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return final


def _write(folder: Path, shape: Shape, dtype: DType, *, weights: bool) -> None:
    tokenizer = model_tokenizer.train()
    end = tokenizer.token_to_id(model_tokenizer.END)
    model_tokenizer.write(folder, tokenizer)
    if weights:
        silent = model_tokenizer.unspeakable(tokenizer)
        _write_safetensors(folder / "model.safetensors", _weights(shape, end, silent), dtype)
    (folder / "config.json").write_text(json.dumps(_config(shape, dtype, end), indent=1), encoding="utf-8")
    generation = {"eos_token_id": end, "pad_token_id": end}
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")


def _config(shape: Shape, dtype: DType, end: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": model_tokenizer.VOCABULARY,
        "max_position_embeddings": model_tokenizer.CONTEXT_TOKENS,
        "rope_theta": 1_000_000.0,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "dtype": dtype,
        "bos_token_id": None,
        "eos_token_id": end,
    }


def _weights(shape: Shape, end: int, silent: list[int]) -> Iterator[tuple[str, Weights]]:
    """Every tensor by its name in a Llama checkpoint, scaled so that activations keep unit variance."""
    random = np.random.default_rng(_SEED)

    def normal(rows: int, columns: int, std: float = 1.0) -> Weights:
        return (random.standard_normal((rows, columns), dtype=np.float32) * (std / columns**0.5)).astype(np.float32)

    ones = np.ones(shape.hidden, dtype=np.float32)
    kv = shape.hidden // shape.heads * shape.kv_heads
    yield "model.embed_tokens.weight", normal(model_tokenizer.VOCABULARY, shape.hidden, shape.hidden**0.5)
    for layer in range(shape.layers):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", ones
        yield at + "self_attn.q_proj.weight", normal(shape.hidden, shape.hidden, _QUERY_STD)
        yield at + "self_attn.k_proj.weight", normal(kv, shape.hidden)
        yield at + "self_attn.v_proj.weight", normal(kv, shape.hidden)
        yield at + "self_attn.o_proj.weight", normal(shape.hidden, shape.hidden)
        yield at + "post_attention_layernorm.weight", ones
        yield at + "mlp.gate_proj.weight", normal(shape.intermediate, shape.hidden)
        yield at + "mlp.up_proj.weight", normal(shape.intermediate, shape.hidden)
        yield at + "mlp.down_proj.weight", normal(shape.hidden, shape.intermediate)
    yield "model.norm.weight", ones
    head = normal(model_tokenizer.VOCABULARY, shape.hidden, _LOGIT_STD)
    head[end] *= _END_STD / _LOGIT_STD
    head[silent] = 0.0
    yield "lm_head.weight", head


def _write_safetensors(path: Path, tensors: Iterator[tuple[str, Weights]], dtype: DType) -> None:
    """The safetensors format: header length as little-endian uint64, JSON header, raw tensors in order."""
    encoded: list[bytes] = []
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, tensor in tensors:
        data = _bfloat16(tensor) if dtype == "bfloat16" else tensor.tobytes()
        kind = "BF16" if dtype == "bfloat16" else "F32"
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [start, start + len(data)]}
        encoded.append(data)
        start += len(data)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.writelines(encoded)


def _bfloat16(tensor: Weights) -> bytes:
    """The upper half of each float32, rounded to the nearest."""
    return ((tensor.view(np.uint32) + 0x8000) >> 16).astype("<u2").tobytes()


def main(argv: list[str] | None = None) -> int:
    """Make the model and print its path. Exit status 1 with a reason on stderr if it cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.daemon.engine.model", description=make.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder under which models are kept")
    parser.add_argument("--size", choices=list(SHAPES), default="demo")
    parser.add_argument("--dtype", choices=["auto", "bfloat16", "float32"], default="auto")
    options = parser.parse_args(argv)
    try:
        path = make(options.out, options.size, None if options.dtype == "auto" else options.dtype)
    except OSError as error:
        print(f"cannot make the model under {options.out}: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
