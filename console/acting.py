"""From a key to an order: what is selected, the questions that have to be asked first, then the order itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radixdeck.daemon.wire import Reply

from .commands import Act, NoTarget, Order, Target, needs_confirmation, order, parse_amount
from .dialogs import Ask, Confirm
from .eviction import eviction_words
from .reasons import why_of
from .screens.base import ActingScreen

if TYPE_CHECKING:
    from .app import ConsoleApp


async def carry_out(app: ConsoleApp, act: Act) -> None:
    """Give the order that `act` means for what is selected now. Runs in a worker, since it may have to ask."""
    if _refuses_all(app):
        app.give(Order(act.name, {}, act.name))
        return
    try:
        ordered = await _asked(app, act, _target(app))
    except NoTarget as error:
        app.notify(str(error), severity="warning", timeout=4)
        return
    if ordered is not None:
        app.give(ordered)


async def _asked(app: ConsoleApp, act: Act, target: Target | None) -> Order | None:
    """The order with everything asked, None if the answer was no. Raises NoTarget."""
    ordered = order(act, target)
    if act.asks and target is not None:
        question = act.asks.format(target.agent)
        amount = await app.push_screen_wait(Ask(question, f"{act.amount:g}", act.doc, parse_amount))
        return None if amount is None else order(act, target, amount)
    if needs_confirmation(act, ordered):
        question = Confirm(f"{ordered.words}?", _consequence(app, act, target))
        return ordered if await app.push_screen_wait(question) else None
    return ordered


def _consequence(app: ConsoleApp, act: Act, target: Target | None) -> str:
    """What the order would do, as far as the console knows."""
    if act.name == "evict" and target is not None and app.entry is not None:
        return f"{eviction_words(app.entry.run, target)}\n{act.confirm}"
    return act.confirm


def _target(app: ConsoleApp) -> Target | None:
    screen = app.screen
    return screen.target() if isinstance(screen, ActingScreen) else None


async def send(app: ConsoleApp, ordered: Order) -> Reply:
    """Give an order to the daemon looked at, with its reason."""
    if app.replay is not None:
        return await app.feed.command("", ordered.name)
    if app.read_only:
        return Reply(id="", state="refused", detail="this console is read-only")
    if app.entry is None:
        return Reply(id="", state="refused", detail="no daemon heard yet")
    why = why_of(ordered, app.reason, app.entry, app.fleet.now_ns(app.entry))
    return await app.feed.command(app.entry.node, ordered.name, ordered.arguments, why)


def _refuses_all(app: ConsoleApp) -> bool:
    """Whether no order can be given: it is refused without asking anything first."""
    return app.replay is not None or app.read_only


def give_if_sure(app: ConsoleApp, ordered: Order, question: str, consequence: str) -> None:
    """Give an order, if somebody means it."""

    def answered(sure: bool | None) -> None:
        if sure:
            app.give(ordered)

    if _refuses_all(app):
        app.give(ordered)
    else:
        app.push_screen(Confirm(question, consequence), answered)


def flush(app: ConsoleApp) -> None:
    """Empty the cache, if somebody means it."""
    give_if_sure(app, Order("flush", {}, "flush"), "Empty the whole cache?", "Every agent computes its prompt again.")
