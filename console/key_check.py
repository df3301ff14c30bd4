"""Whether the keys that somebody asks for can be given: known names, real keys, and none that would do two things."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from textual.binding import Binding, InvalidBinding
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, key_to_character

from .settings import SettingsError

MODIFIERS = frozenset({"ctrl", "alt", "shift", "super", "hyper", "meta"})
NOT_GIVEN = frozenset({"ctrl+c", "ctrl+q"})
"""What Textual does with these comes before anything of ours."""
WHILE_TYPING = frozenset({"dialog.cancel", "view.clear"})
"""Work where a line is typed: a key that types something would only be typed."""
_WRITTEN = {name: key for key, name in KEY_NAME_REPLACEMENTS.items()}


_SENT_AS = {"ctrl+h": "backspace", "ctrl+i": "tab", "ctrl+j": "enter", "ctrl+m": "enter"}
"""What terminals cannot tell from the key behind it."""

NamedKeys = Mapping[str, frozenset[str]]


class Behind(NamedTuple):
    """Names whose keys come to what is focused first. `taken`: the keys that it has for itself, with what they do."""

    named: NamedKeys
    taken: Mapping[str, str]


def check_keys(keys: Mapping[str, str], scopes: Sequence[NamedKeys], behind: Sequence[Behind] = ()) -> None:
    """`scopes`: what can work at the same time, each. Raises SettingsError unless every name of `keys` is one of
    theirs, no key would do two things in any of them, and each one gets there."""
    known = sorted({name for scope in scopes for name in scope})
    wanted = {name: _listed(name, told, known) for name, told in keys.items()}
    for scope in scopes:
        if not wanted.keys().isdisjoint(scope):
            _check_scope(wanted, scope)
    for named, taken in behind:
        for name in sorted(wanted.keys() & named.keys()):
            for key in sorted((wanted[name] - named[name]) & taken.keys()):
                raise SettingsError(f"keys: {key!r} would not reach {name!r}: what is focused takes it ({taken[key]})")


def by_name(bindings: Iterable[Binding]) -> NamedKeys:
    """Name to keys, of those that have a name."""
    found: dict[str, frozenset[str]] = {}
    for one in Binding.make_bindings(bindings):
        if one.id:
            found[one.id] = found.get(one.id, frozenset()) | {one.key}
    return found


def _listed(name: str, told: str, known: Sequence[str]) -> frozenset[str]:
    """The keys of one line of the file."""
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise SettingsError(f"keys: nothing is called {name!r}; {hint}")
    try:
        listed = frozenset(one.key for one in Binding.make_bindings([Binding(told, name)]))
    except InvalidBinding:
        raise SettingsError(f"keys: {name!r} has an empty key") from None
    for key in sorted(listed):
        if not is_key(key):
            raise SettingsError(f"keys: {name!r}: there is no key {key!r}; for example: f5, ctrl+e, A, question_mark")
        if (sent := as_sent(key)) != key:
            raise SettingsError(f"keys: {name!r}: no terminal sends {key!r}; write {sent}")
        if key in NOT_GIVEN:
            raise SettingsError(f"keys: {name!r}: {key!r} cannot be given to anything")
        if name in WHILE_TYPING and key_to_character(key) is not None:
            raise SettingsError(f"keys: {name!r}: {key!r} types something; it works where a line is typed")
    return listed


def as_sent(key: str) -> str:
    """What the console hears when somebody presses this: a letter or digit by itself, with shift another character, and
    modifiers in the order of the alphabet."""
    *modifiers, last = key.split("+")
    sent = "+".join([*sorted(modifiers), last])
    character = key_to_character(last)
    if last in _NAMED or character is None or not character.isprintable() or character == " ":
        return sent
    last = character if character.isalnum() else last
    if modifiers == ["shift"]:
        return last.upper() if last.isalpha() and len(last) == 1 else "the character that it types"
    if modifiers and len(last) == 1 and last.isupper():
        last = last.lower()
        modifiers += ["shift"] if "ctrl" not in modifiers and "shift" not in modifiers else []
    sent = "+".join([*sorted(modifiers), last])
    return _SENT_AS.get(sent, sent)


def is_key(key: str) -> bool:
    """Whether a terminal can say it: a character, the name of one, or of a key like f5, with or without modifiers."""
    *modifiers, last = key.split("+")
    if not MODIFIERS.issuperset(modifiers):
        return False
    if len(last) == 1 or last in _NAMED:
        return True
    written = _WRITTEN.get(last, last)
    # A name has spaces or hyphens where the key has underscores.
    return any(_is_character(written.replace("_", gap)) for gap in (" ", "-"))


def _is_character(name: str) -> bool:
    try:
        unicodedata.lookup(name.upper())
    except KeyError:
        return False
    return True


_NAMED = frozenset(one.value for one in Keys if "<" not in one.value and "+" not in one.value)


def _check_scope(wanted: NamedKeys, scope: NamedKeys) -> None:
    """A key that somebody newly gives to one thing must not be another one's too. What shares a key as it comes was
    meant to."""
    taken: dict[str, str] = {}
    for name in sorted(scope, key=lambda name: name in wanted):
        for key in sorted(wanted.get(name, scope[name])):
            other = taken.setdefault(key, name)
            if other != name and (key not in scope[name] or key not in scope[other]):
                raise SettingsError(f"keys: {key!r} would be both {other!r} and {name!r}")
