"""Every screen that has a mode of its own."""

# Textual types `Screen` in its own signatures without its parameter.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.screen import Screen

from .agents import AgentsScreen
from .events import EventsScreen
from .fleet import FleetScreen
from .harm import HarmScreen
from .policies import PoliciesScreen
from .requests import RequestsScreen
from .residency import ResidencyScreen
from .timeline import TimelineScreen
from .transitions import TransitionsScreen
from .whatif import WhatIfScreen

SCREENS: dict[str, str | Callable[[], Screen[Any]]] = {
    "fleet": FleetScreen,
    "residency": ResidencyScreen,
    "agents": AgentsScreen,
    "policies": PoliciesScreen,
    "events": EventsScreen,
    "timeline": TimelineScreen,
    "harm": HarmScreen,
    "requests": RequestsScreen,
    "transitions": TransitionsScreen,
    "whatif": WhatIfScreen,
}
