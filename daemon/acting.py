"""When policies are asked what they want done: once requests are through, then at growing intervals while idle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from radixdeck.policies.primitives import Action

PERIOD_S = 1.0
"""How often they are asked in the end while nothing happens; at first after SETTLE_S, then after twice as long."""
SETTLE_S = 0.01
"""For the last chunk of an answer to be on its way, and for whoever asks again at once."""


async def act_when_idle(
    through: asyncio.Event,
    is_idle: Callable[[], bool],
    wanted: Callable[[], list[tuple[str, Action]]],
    carry_out: Callable[[Action, str], Awaitable[tuple[bool, str, int]]],
    pass_over: Callable[[Action, str], None],
) -> None:
    """For ever: carry out what the policies want, one action at a time. `through` is set when a request is through. Not
    while any is on its way: it would wait for the cores that this takes. One may come while an action is carried out:
    those after it are passed over. Who had something warmed is asked again."""
    wait_s = PERIOD_S
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await through.wait()
        wait_s = min(2 * wait_s, PERIOD_S)
        if through.is_set():
            through.clear()
            wait_s = SETTLE_S
            await asyncio.sleep(SETTLE_S)
        if not is_idle():
            continue
        for policy, action in wanted():
            if not is_idle():
                pass_over(action, policy)
                continue
            ok, _, _ = await carry_out(action, policy)
            if ok and action.kind == "warm":
                through.set()
