"""The tokenizer of the model made on the spot: byte-level BPE trained in a second on the words of corpus.txt."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VOCABULARY = 4096
CONTEXT_TOKENS = 32_768
START, END = "<|im_start|>", "<|im_end|>"
SPECIALS = ("<|endoftext|>", START, END)
_CORPUS = Path(__file__).with_name("corpus.txt")
_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
SOURCES = (_CORPUS, _TEMPLATE, Path(__file__))
"""Files that decide what the tokenizer is."""
_WORD_WEIGHT = 24


def train() -> Any:
    """A trained `tokenizers.Tokenizer` whose last tokens are the special ones. The same input gives the same one."""
    lib: Any = importlib.import_module("tokenizers")
    tokenizer: Any = lib.Tokenizer(lib.models.BPE())
    tokenizer.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = lib.decoders.ByteLevel()
    trainer: Any = lib.trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIALS),
        initial_alphabet=lib.pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_samples(), trainer)
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def _samples() -> Iterator[str]:
    """Prose, JSON and code as prompts contain it; runs of marks and white space; common words, commonest most often."""
    prose, words = _CORPUS.read_text(encoding="utf-8").split("WORDS\n", 1)
    for line in prose.splitlines():
        yield from [line] * 4
    for mark in " \n-=_*#.":
        yield from [f"a{mark * length}a" for length in (2, 3, 4, 6, 8, 12, 16, 24, 32)] * 20
    yield from [f"a{gap}a" for gap in (".\n", ".\n\n", "\n  ", "\n    ", "\n        ", ", ", ": ")] * 40
    listed = words.split()
    for rank, word in enumerate(listed):
        times = 2 + _WORD_WEIGHT * (len(listed) - rank) // len(listed)
        yield from [f" {word}"] * times
        yield from [word, word.capitalize(), f" {word.capitalize()}", f" {word}s", f" {word}ed", f" {word}ing"] * 2


def write(folder: Path, tokenizer: Any) -> None:
    """tokenizer.json, its configuration and the chat template, as transformers reads them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": SPECIALS[0],
        "model_max_length": CONTEXT_TOKENS,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    shutil.copyfile(_TEMPLATE, folder / _TEMPLATE.name)


def unspeakable(tokenizer: Any) -> list[int]:
    """Ids that a random model must not say: specials but END, control characters and parts of a UTF-8 sequence.

    A stream holds back half a character, which would blur when the first token was seen.
    """
    ids: list[int] = []
    for token_id in range(tokenizer.get_vocab_size()):
        text: str = tokenizer.decode([token_id], skip_special_tokens=False)
        printable = text.isascii() and (text.isprintable() or text.isspace())
        if text != END and (text in SPECIALS or not printable):
            ids.append(token_id)
    return ids
