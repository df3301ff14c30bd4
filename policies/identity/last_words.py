"""Whether an answer says by its last word that its task is over.

Frameworks such as AutoGen end a group chat with a message whose last word is TERMINATE. That is a strong sign that the
session is over, but not the end itself: some sessions go on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

CLOSING_WORDS: tuple[str, ...] = ("TERMINATE",)
"""What is taken for such a word unless somebody says otherwise."""
MAX_WORDS = 16
MAX_WORD_CHARS = 32


def closes(text: str, words: Sequence[str]) -> bool:
    """Whether the text ends in one of the words, in capitals or small letters as written there. White space,
    punctuation and markup may follow the word; letters and digits may neither follow nor stand just before it."""
    return any(_ends_in(text, word) for word in words)


def _ends_in(text: str, word: str) -> bool:
    at = text.rfind(word) if word else -1
    if at < 0 or any(char.isalnum() for char in text[at + len(word) :]):
        return False
    return _may_begin_anywhere(word) or not text[:at].rstrip("_")[-1:].isalnum()


def _may_begin_anywhere(word: str) -> bool:
    """It begins with a sign, such as [DONE], or in a script that sets no space between words."""
    return not word[0].isalnum() or unicodedata.east_asian_width(word[0]) == "W"


def why_unusable(words: Sequence[str]) -> str:
    """What is wrong with words that somebody wants to have looked for, '' if nothing is."""
    if len(words) > MAX_WORDS:
        return f"{len(words)} words are more than {MAX_WORDS}"
    for word in words:
        if not word.strip():
            return f"{word!r} is no word"
        if len(word) > MAX_WORD_CHARS:
            return f"{word!r} is longer than {MAX_WORD_CHARS} characters"
        if word != word.strip():
            return f"{word!r} begins or ends with white space"
    return ""
