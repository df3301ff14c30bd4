"""The contract of a policy that stands at the door: what happens to a request before it is forwarded to the engine.

Any policy may have these two methods beside its four primitives. A doorkeeper is as pure as the rest of it: time
arrives as `now_s` and inside facts. It runs in the daemon only, as an instance of its own that lives on when the engine
is restarted. If it has an `observe`, that instance is told of the engine's events (those it `heeds`) as they come in,
and of the latest EngineStarted also when it is switched on later.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import msgspec

from .events import ToolMemoized

MAX_NAME = 120
"""So much is told of a model's or tool's name, characters: callers write it, and what is told is kept and published."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request at the door. `called`: as in Who. `models`: the model and the adapters it names; `tools`: names of the
    tools it offers; `output_tokens`: the most it wants written, None if it does not say; `about_tokens`: its prompt,
    guessed from its size in bytes, since nobody has tokenized it yet. `batch`: several prompts or answers in one, which
    SGLang gives ids of their own, so that nothing else is heard of this one until it is over. `streamed`: its answer
    comes as it is written. `stateful`: it leaves something in the engine, or goes on from something there, that no
    other one has."""

    rid: str
    agent: str
    called: str = ""
    session: str = ""
    tenant: str = "default"
    route: str = ""
    models: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    output_tokens: int | None = None
    about_tokens: int = 0
    batch: bool = False
    streamed: bool = False
    stateful: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a doorkeeper says about one request.

    pass: nothing against it. admit: let it in, whatever policies that rank lower say. hold: not now; it is asked about
    again when a request is begun or through, when policies change or learn, and at `until_s` at the latest. refuse: it
    gets an error of `status` with `why`, and `retry_in_s` if it may come again.
    `limit_tokens`: write no more than this, whoever decides the rest. `order`: of the agents whose requests may come in
    now, the lowest goes first, with the request that waits longest; where several policies say one, that of the higher
    rank counts first. `everybody`: a hold that is not about this request; nobody else who waits is asked about until
    something changes. `whole_agent`: the same for those of its agent who came later. `alike`: the same for those who
    were held so before by this policy, until their `until_s`, or one of their session is let in, or anything is
    switched, tuned or ruled. `priority`: SGLang begins those with higher ones sooner; not sent if its priority
    scheduling is off, nor over a caller's own.
    """

    kind: Literal["pass", "admit", "hold", "refuse"] = "pass"
    why: str = ""
    until_s: float | None = None
    status: int = 403
    retry_in_s: float | None = None
    limit_tokens: int | None = None
    order: tuple[float, ...] = ()
    everybody: bool = False
    whole_agent: bool = False
    alike: bool = False
    priority: int | None = None


PASS = Verdict()


def shortened(text: str, most: int) -> str:
    """The text with no more than `most` characters and a sign of what is missing."""
    return text if len(text) <= most else text[:most] + "..."


class DoorFact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that happened to a request. `t_s`: when, seconds of the event clock."""

    t_s: float
    asked: Asked


class Came(DoorFact, frozen=True, kw_only=True):
    """It stands at the door and is about to be asked about for the first time."""


class Entered(DoorFact, frozen=True, kw_only=True):
    """It was let in and is on its way to the engine."""


class Matched(DoorFact, frozen=True, kw_only=True):
    """The engine found `cached_tokens` of its prompt in the cache. Comes after Entered, now and then after Left, and
    not at all for a batch or where the engine's cache is not watched. `anchor_tokens`: how many leading tokens are the
    agent's anchor, 0 if not known yet; `base_tokens`: how many it has from one of the last few dozen requests, whatever
    is cached."""

    prompt_tokens: int
    cached_tokens: int
    anchor_tokens: int = 0
    base_tokens: int = 0


class Left(DoorFact, frozen=True, kw_only=True):
    """It is over, however it ended; comes once after every Came. `entered`: it had been let in. Token counts as the
    answer tells them; where it does not, `output_tokens` is what passed by at least, and `prompt_tokens` 0."""

    entered: bool
    prompt_tokens: int = 0
    output_tokens: int = 0


class Answered(DoorFact, frozen=True, kw_only=True):
    """Its answer began `after_s` after it was sent to the engine; of one that is not streamed, all of it was there.
    Told only while there is a Hedger and a second engine, and not of errors. `second`: it was sent to a second engine
    too, whose answer began first (won) or did not (lost), or which gave an error (failed); '' if it was not."""

    after_s: float
    second: Literal["", "won", "lost", "failed"] = ""


class ToolUse(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call in a transcript with its result. `arguments`: as JSON has them, None if they were none; `result`: a
    digest; `failed`: the transcript says that it is an error."""

    call_id: str
    tool: str
    arguments: Any
    result: bytes
    failed: bool = False


class Heard(DoorFact, frozen=True, kw_only=True):
    """A request at the door brings the results of the tools that the answer before it called, each once."""

    uses: tuple[ToolUse, ...]


class RulesError(ValueError):
    """A policy's rules cannot be used. The message names the key and the line."""


@runtime_checkable
class Doorkeeper(Protocol):
    """A policy that is asked about every request while it is on."""

    fails_closed: ClassVar[bool]
    """Whether nobody is let in once it raised, until it is switched: for a policy whose silence would be a hole."""
    orders_sessions: ClassVar[bool]
    """Whether its `order` tells sessions of one agent apart. Then each session's longest waiting request is asked
    about, and not only each agent's."""

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        """What should happen to the request now. Must not change state; a request that is held is asked about again.
        A policy that holds may declare the tunable `longest_hold_s`; after it (120 s otherwise) the caller is told to
        come again. Budget: 10 microseconds."""
        ...

    def notice(self, fact: DoorFact) -> None:
        """Learn what became of a request. May change the policy's own state, nothing else. Budget: 10 microseconds."""
        ...


@runtime_checkable
class Ruled(Protocol):
    """A policy that is told its rules in a file: `[policy.rules] <policy> = "<file>"`."""

    def obey(self, rules: str) -> None:
        """Follow these rules (the text of the file) from now on. Raises RulesError, and then keeps the former ones."""
        ...


@runtime_checkable
class Hearer(Protocol):
    """A policy that learns from the tool results in transcripts. Requests are looked through only while one is on."""

    def hear(self, heard: Heard) -> list[ToolMemoized]:
        """Learn from them; returns what it found out, to be published. May change the policy's own state, nothing else.
        Budget: 20 microseconds a result."""
        ...


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a late request is sent to a second engine too, and why or why not."""

    send: bool
    why: str


@runtime_checkable
class Hedger(Protocol):
    """A policy that has late requests sent a second time, to another engine. It is asked only while one is known, and
    neither about batches nor about what is stateful."""

    def late_s(self, asked: Asked) -> float:
        """How long its answer may take to begin before `hedge` is asked; infinite while that is not known. Must not
        change state. Budget: 10 microseconds."""
        ...

    def hedge(self, asked: Asked, waited_s: float) -> Second:
        """Its answer has not begun after `waited_s`. May change the policy's own state: what it says is done."""
        ...

    def saved_s(self, asked: Asked, after_s: float) -> float:
        """The second engine's answer began `after_s` after the request was sent to the first: about how much longer
        that one would have taken. Must not change state."""
        ...


class BaseDoorkeeper:
    """Default answers at the door, so that a policy writes only what it has to say."""

    fails_closed: ClassVar[bool] = False
    orders_sessions: ClassVar[bool] = False
    notes: ClassVar[tuple[type[DoorFact], ...]] = ()
    """The facts that `notice` is told of; empty: all of them. A doorkeeper of another make may lack this."""

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        """See Doorkeeper.admit."""
        return PASS

    def notice(self, fact: DoorFact) -> None:
        """See Doorkeeper.notice."""
