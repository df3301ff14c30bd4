"""How a measured console is told the number of the key that follows: in two characters, each a digit of its own.

Textual remembers the last thousand characters that were typed. A character of its own for every key would make that
grow for minutes, and a soak would find it.
"""

from __future__ import annotations

FIRST, BASE, NUMBERS = 0x4E00, 64, 20_000
"""The digits are letters, of a script in which nothing is bound; so many numbers can be told."""


def announcement(number: int) -> str:
    high, low = divmod(number, BASE)
    return chr(FIRST + BASE + high) + chr(FIRST + low)


class Announced:
    """Puts the digits together as they come."""

    def __init__(self) -> None:
        self._high = 0

    @staticmethod
    def is_digit(character: str) -> bool:
        return 0 <= ord(character) - FIRST <= BASE + NUMBERS // BASE

    def number(self, digit: str) -> int | None:
        """The number that this digit completes, None if it is the first of two."""
        value = ord(digit) - FIRST
        if value < BASE:
            return self._high * BASE + value
        self._high = value - BASE
        return None
