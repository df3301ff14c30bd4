"""The console: one worker reads the feed and posts what arrived, one handler folds it, a clock tells the screens."""

# Textual types `Screen` in its own signatures without its parameter.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.message import Message
from textual.screen import Screen

from . import caches, palette
from .acting import carry_out
from .commands import ACTS
from .feed import Feed, ReplayFeed
from .feed_messages import Connection, FeedMessage, NodeStatus
from .fleet_state import FleetState, NodeState
from .help import HelpScreen, help_content
from .keymap import APP_BINDINGS, checked
from .oddities import Oddities
from .reasons import ask_reason
from .replay_keys import REPLAY_ACTIONS, ask_for_time
from .screens.base import DeckScreen
from .screens.catalog import SCREENS
from .screens.events import EventsScreen
from .screens.orders import OrdersScreen
from .settings import Settings
from .shadow_worker import ShadowWorker
from .theme import DECK, THEMES
from .whatif_case import Case
from .whatif_runs import WhatIfs
from .whatif_worker import WhatIfWorker
from .widgets.ends import HasEnds
from .widgets.status_line import replay_words
from .writing import copy_out, write_out

TICK_S = 0.042
FRAME_S = 0.1
"""No frame sooner after the one before."""
STILL_S = 0.5
"""Drawn at least so often, for ages and idle times move without events."""
TABLE_S = 0.5
REST = 5.0
"""After a frame so many times what it took passes before the next: drawing takes no more than a sixth of a core."""
CREDIT_S = 0.05
"""So much of it may be owed for a while: a frame with tables, which is costly, does not hold up the cheap ones."""
MOST_OWED_S = 0.15
"""The rest is forgotten: opening a screen takes long, and must not leave it standing still for seconds."""


class FeedArrived(Message):
    """The feed said something."""

    def __init__(self, message: FeedMessage) -> None:
        super().__init__()
        self.message = message


class ConsoleApp(App[None]):
    """Owns the FleetState. Screens read it; only `on_feed_arrived` changes it.

    `feed`: live or recorded. `read_only`: orders are refused here. `animate`: False leaves drawing to whoever calls
    `draw`; with `clock` (monotonic seconds) that makes pictures that depend on nothing but the messages. `reason`: is
    recorded with every order.
    """

    TITLE = "radixdeck"
    CSS_PATH = "console.tcss"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = SCREENS
    BINDINGS = [*APP_BINDINGS]

    def __init__(
        self,
        feed: Feed,
        read_only: bool = False,
        *,
        animate: bool = True,
        clock: Callable[[], float] = time.monotonic,
        settings: Settings | None = None,
    ) -> None:
        """Raises SettingsError."""
        super().__init__()
        themes = [*self.available_themes, *(theme.name for theme in THEMES)]
        self.settings = checked(settings or Settings(), themes)
        self.feed = feed
        self.replay = feed if isinstance(feed, ReplayFeed) else None
        self.read_only = read_only or self.settings.read_only
        replay = self.replay
        self.fleet = FleetState(clock, event_clock=(lambda: replay.position_ns) if replay else None)
        self._whatifs = WhatIfWorker(replay.path if replay else None)
        self.shadows = ShadowWorker(replay.path if replay else None)
        self._oddities = Oddities()
        self._looked_at = self.reason = ""
        self._chosen = False
        self.animated = animate
        self._drawn_s = self._tabled_s = self._ready_s = self._rested_s = self._owed_s = 0.0
        self._changed = True

    @property
    def entry(self) -> NodeState | None:
        """The daemon that the screens show: the one chosen, at first the first that is up, else any that was heard."""
        nodes = self.fleet.nodes
        return nodes.get(self._looked_at) or next(iter(nodes.values()), None)

    @property
    def acts(self) -> bool:
        """Whether orders can be given here at all."""
        return self.replay is None and not self.read_only

    async def on_unmount(self) -> None:
        await self._whatifs.end()
        await self.shadows.end()

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self.settings.theme or DECK.name
        self.set_keymap(self.settings.keys)
        self.switch_mode("fleet")
        self.run_worker(self._read_feed(), name="feed", exclusive=True)
        if self.animated:
            self.set_interval(TICK_S, self._tick)
            self.set_interval(caches.TRIM_EVERY_S, caches.trim_caches)

    async def _read_feed(self) -> None:
        """The one worker: it only posts."""
        try:
            async with self.feed as feed:
                async for message in feed:
                    self.post_message(FeedArrived(message))
        except Exception as error:
            self.post_message(FeedArrived(Connection(False, f"reading stopped: {error}", over=True)))

    def on_feed_arrived(self, arrived: FeedArrived) -> None:
        self.fleet.apply(arrived.message)
        self._changed = True
        if not self._looked_at and isinstance(arrived.message, NodeStatus) and arrived.message.status.online:
            self._looked_at = arrived.message.node

    def _leave_unheard(self) -> None:
        """Show one that is heard, if what is shown since the start said long ago that it is up and nothing since."""
        entry, fleet = self.entry, self.fleet
        if not self._chosen and entry is not None and not entry.metrics_ns and fleet.is_silent(entry):
            heard = (node for node, other in fleet.nodes.items() if fleet.is_live(other))
            self._looked_at = next(heard, self._looked_at)

    def _tick(self) -> None:
        """Draw if there is something new, not too soon, and in any case now and then."""
        now_s = time.monotonic()
        if now_s >= self._ready_s and (self._changed or now_s - self._drawn_s >= STILL_S):
            spent_s = time.process_time()
            self.draw()
            self.call_after_refresh(self._rest, now_s, spent_s)

    def _rest(self, began_s: float, spent_s: float) -> None:
        """The frame is on the terminal; the more of the processor it took, the longer nothing is drawn."""
        now_s = time.monotonic()
        left_s = max(0.0, self._owed_s - (now_s - self._rested_s) / REST)
        self._owed_s = min(MOST_OWED_S, left_s + time.process_time() - spent_s)
        self._rested_s = now_s
        self._ready_s = max(began_s + FRAME_S, now_s + REST * (self._owed_s - CREDIT_S))

    def draw(self, *, tables: bool = False) -> None:
        """Tell the screen in front; what is costly to draw only twice a second, unless `tables` says now."""
        now_s = time.monotonic()
        tables = tables or not self.animated or now_s - self._tabled_s >= TABLE_S
        self._drawn_s, self._changed = now_s, False
        if tables:
            self._tabled_s = now_s
            self._leave_unheard()
        if tables and self.replay is not None and self.entry is not None:
            # Live, the daemon says what its policies think; a recording has to be asked.
            self.entry.table = self.replay.policies(self.entry.run)
        for words in self._oddities.news(self.fleet, self.feed, replayed=self.replay is not None) if tables else ():
            self.notify(words, severity="warning", timeout=8, markup=False)
        if self.replay is not None and self.replay.notice:
            self.notify(self.replay.notice, timeout=4, markup=False)
            self.replay.notice = ""
        shown = next((screen for screen in reversed(self.screen_stack) if isinstance(screen, DeckScreen)), None)
        if shown is not None:
            shown.refresh_state(tables=tables)

    async def action_switch_mode(self, mode: str) -> None:
        """To a screen; a second time: back from what was opened on it."""
        if mode == self.current_mode:
            while len(self.screen_stack) > 1:
                await self.pop_screen()
        else:
            await self.switch_mode(mode)

    async def show_event(self, seq: int) -> None:
        """The log, with the cursor on an event."""
        await self.switch_mode("events")
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        screen = self.screen
        if isinstance(screen, EventsScreen):
            self.call_after_refresh(screen.show_event, seq)

    def look_at(self, node: str) -> None:
        """Show another daemon on every screen."""
        if node in self.fleet.nodes:
            self._looked_at, self._chosen = node, True
            self.draw(tables=True)

    def open_daemon(self, node: str) -> None:
        """Show a daemon on every screen, and its map now."""
        self.look_at(node)
        self.switch_mode("residency")

    def action_next_daemon(self, places: int) -> None:
        """Show the daemon after the present one by name, round the end."""
        nodes = sorted(self.fleet.nodes)
        if self.entry is not None and len(nodes) > 1:
            self.look_at(nodes[(nodes.index(self.entry.node) + places) % len(nodes)])

    def whatifs(self, entry: NodeState) -> tuple[WhatIfs | None, str]:
        """The what-ifs of a daemon's recording, or None and why there are none."""
        return self._whatifs.of(entry)

    def run_whatifs(self, entry: NodeState, cases: list[Case]) -> None:
        """Run some, one after the other, each in a process of its own."""
        runs, _ = self._whatifs.of(entry)
        if runs is not None:
            self._whatifs.want(self, runs, cases)

    def stop_whatifs(self) -> None:
        self._whatifs.stop()

    def replay_words(self) -> str:
        """Position and speed of a replay; empty for a live run."""
        if self.replay is None:
            return ""
        replay = self.replay
        return replay_words(replay.position_ns, replay.first_ns, replay.last_ns, replay.speed, playing=replay.playing)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys of a replay are there only in a replay, what goes with orders only where they can be given; of two
        that share a key one is there."""
        if action in REPLAY_ACTIONS:
            return self.replay is not None
        if action == "why":
            return self.acts
        if action == "ends":
            return self.replay is None
        return super().check_action(action, parameters)

    def action_replay(self, control: str, *arguments: int) -> None:
        """One of the ReplayFeed's controls by name."""
        getattr(self.replay, control)(*arguments)
        self.draw()

    def action_go_to_time(self) -> None:
        if self.replay is not None:
            ask_for_time(self, self.replay)

    def action_export(self, picture: bool = False) -> None:
        """What the screen in front lists as a file in the working folder, or its picture."""
        write_out(self, picture=picture)

    def action_copy(self) -> None:
        """What is selected on the screen in front."""
        copy_out(self)

    def action_ends(self, direction: int) -> None:
        """To the first or the last line of what is focused."""
        focused = self.screen.focused
        if isinstance(focused, HasEnds):
            focused.action_ends(direction)

    # ---- orders ------------------------------------------------------------------------------------------------------

    def action_act(self, name: str) -> None:
        """One of ACTS, about what is selected on the screen in front."""
        act = next(act for act in ACTS if act.name == name)
        self.run_worker(carry_out(self, act), group="asking", exclusive=True)

    def action_orders(self) -> None:
        """What operators did, over the screen in front; a second time: back."""
        if isinstance(self.screen, OrdersScreen):
            self.pop_screen()
        elif isinstance(self.screen, DeckScreen):
            self.push_screen(OrdersScreen(self.screen.shown_mode))

    def action_why(self) -> None:
        ask_reason(self)

    # ---- help and palette --------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        self.push_screen(HelpScreen(help_content(self.screen, self.settings.keys), self.current_mode))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything that has a key, by name, and what is too rare for one."""
        yield from palette.commands(self, screen)
        yield from super().get_system_commands(screen)
