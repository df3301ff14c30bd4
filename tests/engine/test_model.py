"""The model made on the spot: whole or not there, the same everywhere, with a chat template that knows tools."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest
from tokenizers import Tokenizer

from radixdeck.daemon.engine import model, model_tokenizer

MAKE = [sys.executable, "-m", "radixdeck.daemon.engine.model", "--size", "tiny", "--out"]
ENGLISH = (
    "Please read the attached report, compare the results with those of last year, and write a short summary for the "
    "board. Mention the three most important risks and say which of them we should look at first."
)


@pytest.fixture(scope="module")
def made(model_dir: Path) -> Path:
    return model.make(model_dir, "tiny")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def render(made: Path, **context: Any) -> str:
    source = (made / "chat_template.jinja").read_text(encoding="utf-8")
    return jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(source).render(**context)


def test_two_processes_at_once_make_one_model(tmp_path: Path) -> None:
    both = [subprocess.Popen([*MAKE, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert {str(path) for path in tmp_path.iterdir()} == paths


def test_the_same_model_every_time(made: Path, tmp_path: Path) -> None:
    assert digests(model.make(tmp_path, "tiny")) == digests(made)


def test_a_model_for_a_gpu_is_the_same_tokenizer_and_a_shape_without_weights(made: Path, tmp_path: Path) -> None:
    large = model.make(tmp_path, "8b")
    assert {path.name for path in large.iterdir()} == {path.name for path in made.iterdir()} - {"model.safetensors"}
    assert (large / "tokenizer.json").read_bytes() == (made / "tokenizer.json").read_bytes()
    config = json.loads((large / "config.json").read_text())
    assert (config["hidden_size"], config["num_hidden_layers"], config["dtype"]) == (4096, 32, "bfloat16")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    ran = subprocess.run([*MAKE, str(blocked)], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert str(blocked) in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_weights_are_where_the_header_says(tmp_path: Path, dtype: model.DType) -> None:
    data = (model.make(tmp_path, "tiny", dtype) / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__")
    ends = [entry["data_offsets"][1] for entry in header.values()]
    assert max(ends) == len(data) - 8 - length
    width = 2 if dtype == "bfloat16" else 4
    for entry in header.values():
        rows, columns = (*entry["shape"], 1)[:2]
        assert entry["data_offsets"][1] - entry["data_offsets"][0] == rows * columns * width


def test_prompts_tokenize_like_english(made: Path) -> None:
    tokenizer = Tokenizer.from_file(str(made / "tokenizer.json"))
    ids = tokenizer.encode(ENGLISH).ids
    assert 3 <= len(ENGLISH) / len(ids) <= 5
    assert tokenizer.decode(ids) == ENGLISH
    assert tokenizer.get_vocab_size() == model_tokenizer.VOCABULARY


def test_nothing_is_said_that_a_stream_would_hold_back(made: Path) -> None:
    tokenizer = Tokenizer.from_file(str(made / "tokenizer.json"))
    silent = set(model_tokenizer.unspeakable(tokenizer))
    assert tokenizer.token_to_id(model_tokenizer.START) in silent
    assert tokenizer.token_to_id(model_tokenizer.END) not in silent
    spoken = [tokenizer.decode([i]) for i in range(tokenizer.get_vocab_size()) if i not in silent]
    assert all("\ufffd" not in text for text in spoken)
    assert len(spoken) > 3000


def test_tools_are_part_of_the_system_block(made: Path) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    text = render(made, messages=asked, tools=[tool], add_generation_prompt=True)
    head, rest = text.split("<|im_end|>\n", 1)
    assert head.startswith("<|im_start|>system\nBe brief.\n\n")
    assert "look_up" in head
    assert rest == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_calls_and_their_results_are_rendered(made: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": {"word": "fish"}}}
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "a swimmer"},
    ]
    text = render(made, messages=turns, add_generation_prompt=False)
    assert '<tool_call>\n{"name": "look_up", "arguments": {"word": "fish"}}\n</tool_call>' in text
    assert "<tool_response>\na swimmer\n</tool_response>" in text
    assert not text.startswith("<|im_start|>system")
