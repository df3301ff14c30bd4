"""What happens to requests: the dispatch and the inserts of each one, with its prompt as prefix hashes.

The state of a request hangs on SGLang's request object itself, so it goes when the request goes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from radixdeck.policies.events import AnchorMeasured, PrefixInserted, PrefixMatched
from radixdeck.policies.tree.observer import Need, Observer
from radixdeck.policies.tree.ownership import NOBODY, Who

from .identity import who_asks
from .sketch import Hashes, Recent, Sketch, Sketcher

log = logging.getLogger(__name__)

ATTRIBUTE = "radixdeck_track"
HEALTH_CHECK_PREFIX = "HEALTH_CHECK"
MAX_REFUSED = 32
Phase = Literal["prompt", "finish"]


class Match(msgspec.Struct, frozen=True):
    """Prefix found for a request: tokens on the device, tokens on the host only, deepest node."""

    cached_tokens: int
    host_tokens: int
    node: int


class Track(msgspec.Struct):
    """One request. `match`: the last look-up before its dispatch, `looked`: the steps of all of them; `inserted`:
    (total, new, node) of an insert."""

    who: Who
    match: Match | None = None
    looked: list[int] = []
    dispatched: bool = False
    prompt: Sketch | None = None
    inserted: tuple[int, int, int] | None = None


def track_of(req: Any) -> Track:
    track = getattr(req, ATTRIBUTE, None)
    if track is None:
        track = Track(who_asks(req))
        setattr(req, ATTRIBUTE, track)
    return track


class RequestObserver:
    """Reports dispatches and inserts; a request it cannot report is served all the same."""

    def __init__(self, observer: Observer) -> None:
        self.page_size = 1
        self._observer = observer
        self._stream = observer.stream
        self._ownership = observer.ownership
        self._sketcher = Sketcher()
        self._recent = Recent()
        self._failed: set[str] = set()
        self.track: Track | None = None

    @contextmanager
    def inserting(self, req: Any) -> Generator[Track]:
        """While SGLang inserts a request's KV: nodes that appear are its own."""
        track = track_of(req)
        self.track, self._observer.inserting, track.inserted = track, track.who, None
        try:
            yield track
        finally:
            self.track, self._observer.inserting = None, NOBODY

    def matched(self, req: Any, match: Match) -> None:
        """A look-up: only the last one before the dispatch counts."""
        track = track_of(req)
        if not track.dispatched:
            track.match = match
            track.looked = [*track.looked[-MAX_REFUSED:], self._observer.step]

    def dispatched(self, req: Any, match: Match | None, tree: Any) -> None:
        """A request was admitted to its first prefill."""
        track = track_of(req)
        if track.dispatched:
            return
        track.dispatched = True
        match = match or track.match
        if match is None or track.who.rid.startswith(HEALTH_CHECK_PREFIX):
            return
        try:
            self._report_dispatch(req, track, match, tree)
        except Exception as error:
            self._fail("dispatched", error)

    def inserted(self, req: Any, phase: Phase, track: Track, tree: Any) -> None:
        """SGLang inserted a request's KV, see `inserting`."""
        if track.inserted is None or track.who.rid.startswith(HEALTH_CHECK_PREFIX):
            return
        try:
            self._report_insert(req, phase, track, tree)
        except Exception as error:
            self._fail("inserted", error)

    def allocating_for(self, reqs: list[Any], tokens_of: Callable[[Any], int], *, again: bool = False) -> None:
        """The coming allocation is for a batch of these requests, each of which needs `tokens_of` it new tokens.
        `again`: room for this batch was asked for already."""
        self._observer.step += not again
        self._observer.ask_needs = lambda: [Need(track_of(req).who, tokens_of(req)) for req in reqs]

    # ---- dispatch --------------------------------------------------------------------------------------------------

    def _report_dispatch(self, req: Any, track: Track, match: Match, tree: Any) -> None:
        who = track.who
        track.prompt = self._sketcher.sketch(req.origin_input_ids, namespace_of(req))
        prompt = track.prompt.hashes
        self._meet(who, prompt)
        base = self._recent.best(prompt, who.agent)
        self._recent.keep(who.rid, who.agent, who.session, prompt)
        self._stream.emit(
            PrefixMatched(
                t_ns=self._stream.now_ns(), rid=who.rid, agent=who.agent, session=who.session, tenant=who.tenant,
                prompt_tokens=len(prompt), cached_tokens=match.cached_tokens, host_tokens=match.host_tokens,
                anchor_tokens=who.anchor or self._ownership.anchors.get(who.agent, 0), node=match.node, warm=who.warm,
                base_rid=base.rid, base_tokens=base.tokens, tail=prompt[base.tokens :].tobytes(),
                step=self._observer.step, refused=tuple(track.looked[:-1]),
            )
        )  # fmt: skip
        self._observer.used(tree.node_by_id(match.node), who)

    def _meet(self, who: Who, prompt: Hashes) -> None:
        """Learn from a request that came: its agent, its session, the agent's anchor."""
        new = self._ownership.is_new(who)
        displaced = self._ownership.meet(who, len(prompt) // self.page_size * self.page_size)
        if displaced is not None:
            self._observer.close_session(displaced)
        if who.anchor and self._ownership.set_anchor(who.agent, who.anchor):
            self._say_anchor(who, exact=True)
        elif who.session and new and not who.warm:
            shared = self._recent.shared_with_other_sessions(prompt, who.agent, who.session)
            if self._ownership.learn_anchor(who.agent, shared):
                self._say_anchor(who, exact=False)

    def _say_anchor(self, who: Who, *, exact: bool) -> None:
        tokens, now, step = self._ownership.anchors[who.agent], self._stream.now_ns(), self._observer.step
        self._stream.emit(AnchorMeasured(t_ns=now, agent=who.agent, tokens=tokens, exact=exact, step=step, rid=who.rid))

    # ---- insert ----------------------------------------------------------------------------------------------------

    def _report_insert(self, req: Any, phase: Phase, track: Track, tree: Any) -> None:
        assert track.inserted is not None
        total, new, node = track.inserted
        output = b""
        if phase == "finish" and track.prompt is not None:
            output = self._output(req, track.who, track.prompt, total)
        self._stream.emit(
            PrefixInserted(
                t_ns=self._stream.now_ns(), rid=track.who.rid, phase=phase, total_tokens=total, new_tokens=new,
                node=node, output=output, step=self._observer.step,
            )
        )  # fmt: skip
        self._observer.used(tree.node_by_id(node), track.who)

    def _output(self, req: Any, who: Who, prompt: Sketch, total: int) -> bytes:
        """Hashes of the tokens behind the prompt that entered the tree."""
        prompt_tokens = len(prompt.hashes)
        whole = self._sketcher.extended(prompt, req.output_ids[: max(0, total - prompt_tokens)]).hashes[:total]
        self._recent.keep(who.rid, who.agent, who.session, whole)
        return whole[prompt_tokens:].tobytes()

    def straddling(self, track: Track, tree: Any, page_size: int) -> tuple[Any, int] | None:
        """See Observer.straddling, for the path of the request's last insert."""
        if track.inserted is None:
            return None
        return self._observer.straddling(tree.node_by_id(track.inserted[2]), track.who.agent, page_size)

    def _fail(self, call: str, error: Exception) -> None:
        """One report per kind of failure: the next request may be fine."""
        if call not in self._failed:
            self._failed.add(call)
            self._observer.report_failure(call, error)


def namespace_of(req: Any) -> str:
    """What keeps a request's cache apart from others' with the same tokens; '' in the common case."""
    parts = (getattr(req, "extra_key", None), getattr(req, "cache_salt", None))
    return "\x00".join(part or "" for part in parts) if any(parts) else ""
