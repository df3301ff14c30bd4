"""What call comes after a call of a tool, with which arguments, and how often a guess at it would have been right.

Learned per agent from the stream of its calls, session by session. After each call the next one is guessed, whether or
not anybody acts on it; when the next call comes the guess is marked. So the chance of a guess is how often guesses like
it were right of late, and what cannot be guessed gets no chance. Pure and bounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from ..bounded import Bounded
from .calls import ToolCall
from .canonical import NotCanonical, canonical
from .provenance import Leaves, Scalar, Source, Where, columns_of, leaves_of, next_in, same

MAX_ROWS, MAX_STREAMS = 128, 256
MAX_PAIRS, MAX_ARGUMENTS, MAX_SOURCES, MAX_COLUMNS = 8, 16, 8, 8
MAX_VALUE_BYTES = 1024
KEEP = 0.95
"""What a count is worth one occurrence later."""
RANK = {"at": 0, "next": 1, "same": 2}

Shape = tuple[str, tuple[str, ...]]
"""A tool and the names of the arguments that are given."""


@dataclass
class _Pair:
    """What came after a tool. `came`, `right`: how often, and how often as guessed; `sources`: by argument, how often
    each would have been right; `latest`: arguments that have no part in the result; `context`: as it was last."""

    came: float = 0.0
    right: float = 0.0
    sources: dict[str, dict[Source, float]] = field(default_factory=dict[str, dict[Source, float]])
    latest: dict[str, bytes] = field(default_factory=dict[str, bytes])
    context: bytes = b"null"


@dataclass
class _Row:
    """A tool that was called `total` times."""

    total: float = 0.0
    pairs: dict[Shape, _Pair] = field(default_factory=dict[Shape, _Pair])


@dataclass
class _Ended:
    """The latest call of a session that is over. `after`: what has come since."""

    row: _Row
    leaves: Leaves
    guesses: dict[Shape, Guess] = field(default_factory=dict["Shape", "Guess"])
    after: set[Shape] = field(default_factory=set[Shape])


@dataclass
class _Stream:
    """The calls of one session. `columns`: lists that were told of late."""

    columns: Bounded[Where, list[Scalar]] = field(default_factory=lambda: Bounded(MAX_COLUMNS))
    ended: _Ended | None = None


@dataclass(frozen=True)
class Guess:
    """A call that may come next. `chance`: that just this one does; `why`: in words."""

    call: ToolCall
    chance: float
    why: str
    _now: Callable[[], bool]

    def stands(self) -> bool:
        """Whether nothing has come since."""
        return self._now()


class Patterns:
    """`wanted` says whether a call of this tool may be guessed, `ignored` which of its arguments have no part in it."""

    def __init__(self, wanted: Callable[[str], bool], ignored: Callable[[str], list[str]]) -> None:
        self._wanted, self._ignored = wanted, ignored
        self._rows: Bounded[tuple[str, str, str], _Row] = Bounded(MAX_ROWS)
        self._streams: Bounded[tuple[str, str, str], _Stream] = Bounded(MAX_STREAMS)

    def began(self, call: ToolCall) -> None:
        """A call has come: mark the guess at it, and learn what it was made of."""
        stream = self._streams.get((call.tenant, call.agent, call.session))
        ended = stream.ended if stream is not None else None
        arguments: Any = {} if call.arguments is None else call.arguments
        if ended is None or type(arguments) is not dict or len(cast("dict[Any, Any]", arguments)) > MAX_ARGUMENTS:
            return
        given = cast("dict[str, Any]", arguments)
        shape = (call.tool, tuple(sorted(map(str, given))))
        if shape in ended.after:
            return
        ended.after.add(shape)
        if not self._wanted(call.tool):
            return
        try:
            spelled = {name: canonical(value) for name, value in given.items()}
            context = canonical(call.context)
        except NotCanonical:
            return
        if sum(map(len, spelled.values())) + len(context) > MAX_VALUE_BYTES:
            return
        self._learn(ended, shape, given, spelled, context)

    def ended(self, call: ToolCall, said: Any) -> list[Guess]:
        """A call is over. `said`: its result as JSON, None if it failed. What may come next, the likeliest first."""
        whose = (call.tenant, call.agent)
        row = self._rows.get((*whose, call.tool)) or self._rows.put((*whose, call.tool), _Row())
        stream = self._streams.get((*whose, call.session)) or self._streams.put((*whose, call.session), _Stream())
        row.total = KEEP * row.total + 1
        for pair in row.pairs.values():
            pair.came, pair.right = KEEP * pair.came, KEEP * pair.right
        arguments, result = leaves_of("arguments", call.arguments), leaves_of("result", said)
        leaves = arguments | result | next_in(stream.columns.items(), arguments)
        for where, values in columns_of(call.tool, result).items():
            stream.columns.put(where, values)
        stream.ended = ended = _Ended(row, leaves)
        for shape in row.pairs:
            if self._wanted(shape[0]) and (guess := _guess(call, stream, shape)) is not None:
                ended.guesses[shape] = guess
        return sorted(ended.guesses.values(), key=lambda guess: -guess.chance)

    def forget(self) -> None:
        """All that was learned."""
        self._rows, self._streams = Bounded(MAX_ROWS), Bounded(MAX_STREAMS)

    def _learn(
        self, ended: _Ended, shape: Shape, given: dict[str, Any], spelled: dict[str, bytes], context: bytes
    ) -> None:
        pairs = ended.row.pairs
        if shape not in pairs and len(pairs) >= MAX_PAIRS:
            del pairs[min(pairs, key=lambda one: pairs[one].came)]
        pair = pairs.setdefault(shape, _Pair())
        ignored = self._ignored(shape[0])
        guess = ended.guesses.get(shape)
        pair.came += 1
        pair.right += guess is not None and _is_right(guess.call, spelled, context, ignored)
        pair.context = context
        for name, value in given.items():
            if name in ignored:
                pair.latest[name] = spelled[name]
            else:
                sources = pair.sources.setdefault(name, {})
                _mark(sources, value, spelled[name], ended.leaves)


def _mark(sources: dict[Source, float], value: Any, spelled: bytes, leaves: Leaves) -> None:
    """Count the sources that this value may have come from."""
    found = {source for source, leaf in leaves.items() if same(leaf, value)}
    found.add(Source(kind="same", value=spelled))
    for source in sources:
        sources[source] *= KEEP
    for source in found:
        sources[source] = sources.get(source, 0.0) + 1
    for source in sorted(sources, key=lambda one: _order(sources, one))[MAX_SOURCES:]:
        del sources[source]


def _order(sources: dict[Source, float], source: Source) -> tuple[float, int, int, str]:
    """The best first: what was right most often, then what is told most plainly."""
    return -sources[source], RANK[source.kind], len(source.place), source.words()


def _guess(call: ToolCall, stream: _Stream, shape: Shape) -> Guess | None:
    """The call of this shape that would follow, None if not all of its arguments are known."""
    ended = stream.ended
    assert ended is not None
    pair, arguments, words = ended.row.pairs[shape], dict[str, Any](), list[str]()
    for name in shape[1]:
        if name in pair.latest:
            arguments[name] = json.loads(pair.latest[name])
            continue
        sources = pair.sources.get(name, {})
        source = min(sources, key=lambda one: _order(sources, one), default=None)
        value = source.of_leaves(ended.leaves) if source is not None else None
        if source is None or (value is None and source.value != b"null"):
            return None
        arguments[name] = value
        words.append(f"{name} {source.words()}" if source.kind == "same" else f"{name} = {source.words()}")
    tool, before = shape[0], ended.row.total - 1
    why = f"{tool} follows {call.tool} in {pair.came:.0f} of {before:.0f}, {pair.right:.0f} as guessed"
    guessed = ToolCall(
        tool=tool, arguments=arguments, agent=call.agent, session=call.session, tenant=call.tenant,
        context=json.loads(pair.context),
    )  # fmt: skip
    return Guess(
        guessed, pair.right / ended.row.total, ": ".join([why, ", ".join(words)] if words else [why]),
        lambda: stream.ended is ended and not ended.after,
    )  # fmt: skip


def _is_right(guessed: ToolCall, spelled: dict[str, bytes], context: bytes, ignored: list[str]) -> bool:
    return canonical(guessed.context) == context and all(
        canonical(value) == spelled[name] for name, value in guessed.arguments.items() if name not in ignored
    )
