"""Whether the policy's order beats LRU on this traffic: what was served is held against a shadow of LRU.

Under both the cache gives up pages, unless told otherwise; so LRU serves more here than SGLang's own, which gives up
whole leaves. Both are summed over the last few hundred prompts. If LRU's lead grows beyond a margin, its order is used
for a while; then the policy gets another chance, once names hold what they promise, with less patience, and each time
it is sent away for longer. While it leads, it is forgiven step by step.
"""

from __future__ import annotations

import math

from ..events import CacheFlushed, EngineEvent, EngineLoadSampled, EngineStarted, PrefixInserted, PrefixMatched
from .shadow import Shadow

FADE = 0.5 ** (1 / 120)
"""Per dispatch: what is 120 dispatches old counts half."""
WINDOW = 1 / (1 - FADE)
LONG_FADE = 0.5 ** (1 / 1200)
"""The same of the sum that tells whether what is lost now and then is still chance."""
BY_CHANCE = 1.5
"""Deviations of a sum of differences that are chance, as if each prompt were as good for one side as for the other."""
FIRST_REST = 120
LONGEST_REST = 4000
IMPATIENCE = 0.5
"""Margin of every further chance, as a share of the one before."""
LEAST_PATIENCE = 0.25
YOUNG = 40
"""Dispatches from which the policy first learns: what they cost says little of those to come, and in a cache that just
filled up one prompt more or less is a large share of all."""
CREDIT = 0.1
"""Share of what was served in those that LRU may lead by beyond the margin."""

DOUBTED, TRUSTED, LEAST_TRUST = 0.6, 0.8, 0.2
"""Where less than this of what names promise comes true, LRU need not lead by more than a share of the margin; where
more than that does, by all of it."""


class Lead:
    """What LRU would have served beyond what was served, by a sum that fades, in tokens."""

    def __init__(self) -> None:
        self.tokens = self._squares = 0.0

    def see(self, tokens: int, fade: float) -> None:
        self.tokens = self.tokens * fade + tokens
        self._squares = self._squares * fade**2 + tokens**2

    @property
    def by_chance_tokens(self) -> float:
        """A lead that chance explains."""
        return BY_CHANCE * math.sqrt(self._squares)

    def clear(self) -> None:
        self.tokens = self._squares = 0.0


class Guard:
    """`lead_tokens`: what LRU would have served beyond what was served, lately. `resting`: dispatches for which LRU's
    order holds in any case. `names_hold`: how much of what names promise comes true, see Histories. The margin is one
    of a whole window, however few prompts there were: what a handful of them shows is chance. Nor does a lead count
    that chance explains, unless it does not explain what LRU leads by in the long run."""

    def __init__(self) -> None:
        self._lead, self._long_lead = Lead(), Lead()
        self.resting = 0
        self.names_hold = 1.0
        self._dispatches = 0
        self._credit_tokens = 0.0
        self._prompt_tokens = self._prompts = 0.0
        self._rest = FIRST_REST
        self._patience = 1.0
        self._held_out = self._held_back = 0
        self.shadow = Shadow()

    @property
    def lead_tokens(self) -> float:
        return self._lead.tokens

    @property
    def rests_at_most(self) -> int:
        """For how many dispatches LRU's order may still hold: fewer, if names begin to hold."""
        waits = LONGEST_REST - self._held_back if self.resting and self.names_hold < DOUBTED else 0
        return self.resting + waits

    def begin(self) -> None:
        """The policy was switched on: what was served before was not its doing."""
        self._forget()
        self.resting, self._rest, self._patience, self._held_out = 0, FIRST_REST, 1.0, 0

    def inserted(self, event: PrefixInserted) -> None:
        self.shadow.inserted(event)

    def heard(self, event: EngineEvent) -> None:
        """Anything else than prompts."""
        match event:
            case EngineStarted() | EngineLoadSampled():
                self.shadow.heard(event)
            case CacheFlushed(told_anew=False):
                self.shadow.flushed()
            case _:
                pass

    def matched(self, event: PrefixMatched, margin: float) -> None:
        """A prompt is looked up. `margin`: share of the window's prompt tokens by which LRU must lead to take over."""
        if event.warm:
            return
        by_lru, served = self.shadow.asked(event)
        self._prompt_tokens = self._prompt_tokens * FADE + event.prompt_tokens
        self._prompts = self._prompts * FADE + 1.0
        self._dispatches = min(YOUNG, self._dispatches + 1)
        if self.resting:
            self._rests()
            return
        self._lead.see(by_lru - served, FADE)
        self._long_lead.see(by_lru - served, LONG_FADE)
        self._credit_tokens *= FADE
        if self._dispatches < YOUNG:
            self._credit_tokens += CREDIT * served
        self._held_out = self._held_out + 1 if self.lead_tokens < 0 else 0
        if margin < 1.0 and self.lead_tokens > self._allowed_tokens(margin):
            self._send_away()
        elif self._held_out >= self._rest:
            self._forgive()

    def _rests(self) -> None:
        """One dispatch more. Where names do not hold, there is no other chance before the longest rest is over too: it
        may be that nothing tells any more whether they do."""
        self._forget()
        if self.resting == 1 and self.names_hold < DOUBTED and self._held_back < LONGEST_REST:
            self._held_back += 1
        else:
            self.resting -= 1

    def _forget(self) -> None:
        """What was served so far says nothing of what will be."""
        self._lead.clear()
        self._long_lead.clear()
        self._credit_tokens = 0.0

    def _send_away(self) -> None:
        self.resting, self._rest = self._rest, min(2 * self._rest, LONGEST_REST)
        self._patience = max(LEAST_PATIENCE, IMPATIENCE * self._patience)
        self._held_out = self._held_back = 0

    def _forgive(self) -> None:
        """It led for as long as it would be sent away: the last time is forgotten."""
        self._rest = max(FIRST_REST, self._rest // 2)
        self._patience = min(1.0, self._patience / IMPATIENCE)
        self._held_out = 0

    def _trust(self) -> float:
        return min(1.0, max(LEAST_TRUST, (self.names_hold - DOUBTED) / (TRUSTED - DOUBTED)))

    def _allowed_tokens(self, margin: float) -> float:
        """The lead of LRU that is put up with. Where names do not hold what they promise, less is."""
        window_tokens = margin * self._patience * WINDOW * self._prompt_tokens / self._prompts
        is_chance = self._long_lead.tokens <= self._long_lead.by_chance_tokens
        by_chance_tokens = self._lead.by_chance_tokens if is_chance else 0.0
        return max(1.0, self._trust() * max(window_tokens + self._credit_tokens, by_chance_tokens))
