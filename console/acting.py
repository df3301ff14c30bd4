"""From a key to an order: what is selected, the questions that have to be asked first, then the order itself. Whoever
orders anything comes through here, so that what is refused is refused before anything is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from radixdeck.daemon.wire import Reply

from .commands import Act, NoTarget, Order, Target, order, outcome, parse_amount, refused
from .confirming import question_of
from .dialogs import Ask, Confirm
from .feed import RECORDED
from .fleet_state import NodeState
from .reasons import why_of
from .screens.base import ActingScreen
from .words import start_words

if TYPE_CHECKING:
    from .app import ConsoleApp

RENUMBERED = "the engine was started again meanwhile, and that number is now another node's; select it again"


async def carry_out(app: ConsoleApp, act: Act) -> None:
    """Give the order that `act` means for what is selected now. Runs in a worker, since it may have to ask."""
    if refuses(app, act.name):
        return
    entry = app.entry
    try:
        target = _target(app)
        ordered = order(act, target)
    except NoTarget as error:
        app.notify(str(error), severity="warning", timeout=4)
        return
    if act.asks and target is not None:
        question = act.asks.format(target.agent)
        amount = await app.push_screen_wait(Ask(question, f"{act.amount:g}", act.doc, parse_amount))
        if amount is None:
            return
        ordered = order(act, target, amount)
    give(app, [ordered], entry=entry)


def _target(app: ConsoleApp) -> Target | None:
    screen = app.screen
    return screen.target() if isinstance(screen, ActingScreen) else None


def refuses(app: ConsoleApp, words: str) -> bool:
    """Whether nothing can be ordered here; said in words of what was wanted, before anything is asked about it."""
    why = _why_none(app)
    if why:
        app.notify(refused(words, why), severity="warning", timeout=6, markup=False)
    return bool(why)


def _why_none(app: ConsoleApp) -> str:
    """Why no order can be given, '' where one can."""
    if app.replay is not None:
        return RECORDED
    if app.read_only:
        return "this console is read-only"
    return f"no daemon heard yet; {start_words()}" if app.entry is None else ""


def give(
    app: ConsoleApp, orders: Sequence[Order], *, entry: NodeState | None = None, called: str = "", lost: str = "",
    after: Callable[[bool], None] | None = None,
) -> None:  # fmt: skip
    """Send orders, each once the one before was carried out, and say what became of them; first ask where somebody has
    to mean them. `entry`: the daemon they are for, by default the one looked at now, whichever is looked at once there
    is an answer. `called`, `lost`: see `question_of`. `after` is told whether all were carried out."""
    told = entry or app.entry
    if refuses(app, orders[0].words) or told is None:
        if after is not None:
            after(False)
        return

    def begin() -> None:
        app.run_worker(_send_all(app, told, orders, after), group="orders")

    asked_about = _tree_of(told)

    def answered(sure: bool | None) -> None:
        renumbered = _tree_of(told) != asked_about and any("node" in one.arguments for one in orders)
        if sure and renumbered:
            app.notify(refused(orders[0].words, RENUMBERED), severity="warning", timeout=6, markup=False)
        if sure and not renumbered:
            begin()
        elif after is not None:
            after(False)

    node = told.node if len(app.fleet.nodes) > 1 else ""
    question = question_of(orders, told.run, called=called, lost=lost, node=node)
    if question is None:
        begin()
    else:
        app.push_screen(Confirm(*question), answered)


def _tree_of(entry: NodeState) -> tuple[str, int]:
    """Whose cache nodes the numbers are of: each start of an engine counts them from the beginning."""
    return entry.run_id, entry.run.totals.engine_starts


async def _send_all(
    app: ConsoleApp, entry: NodeState, orders: Sequence[Order], after: Callable[[bool], None] | None
) -> None:
    done = True
    for place, ordered in enumerate(orders):
        done = _tell(app, ordered, await _send(app, entry, ordered), orders[:place])
        if not done:
            break
    if after is not None:
        after(done)


async def _send(app: ConsoleApp, entry: NodeState, ordered: Order) -> Reply:
    """Give an order to a daemon, with its reason."""
    why = why_of(ordered, app.reason, entry, app.fleet.now_ns(entry))
    return await app.feed.command(entry.node, ordered.name, ordered.arguments, why)


def _tell(app: ConsoleApp, ordered: Order, reply: Reply, before: Sequence[Order]) -> bool:
    """Say what became of an order, and where it was refused what stands of those `before` it; returns whether it was
    done."""
    words, done = outcome(ordered, reply)
    if before and not done:
        words += f"; carried out before it, and in force: {', '.join(one.words for one in before)}"
    app.notify(words, severity="information" if done else "warning", timeout=6, markup=False)
    return done


def flush(app: ConsoleApp) -> None:
    """Empty the cache, if somebody means it."""
    give(app, [Order("flush", {}, "flush")], called="Empty the whole cache")
