"""The keys of a replay. They work on every screen; on a live run they are not there."""

from __future__ import annotations

import dataclasses

from textual.app import App
from textual.binding import Binding

from .dialogs import Ask
from .feed import ReplayFeed

REPLAY_ACTIONS = ("replay", "go_to_time")
_BINDINGS = [
    Binding("space", "replay('toggle')", "play/pause", tooltip="play or pause the recording"),
    Binding("left_square_bracket", "replay('step', -1)", show=False, key_display="[", tooltip="one event back"),
    Binding("right_square_bracket", "replay('step', 1)", "event", key_display="]", tooltip="one event on"),
    Binding("left_curly_bracket", "replay('jump', -10)", show=False, key_display="{", tooltip="ten seconds back"),
    Binding("right_curly_bracket", "replay('jump', 10)", "10 s", key_display="}", tooltip="ten seconds on"),
    Binding("m", "replay('jump', -60)", show=False, tooltip="a minute back"),
    Binding("M", "replay('jump', 60)", show=False, tooltip="a minute on"),
    Binding("minus", "replay('change_speed', -1)", show=False, key_display="-", tooltip="slower"),
    Binding("plus,equals_sign", "replay('change_speed', 1)", "faster", key_display="+", tooltip="faster"),
    Binding("g", "replay('seek', 0)", "start", show=False, tooltip="to the start", id="app.first"),
    Binding("G", "replay('seek', 9223372036854775807)", "end", show=False, tooltip="to the end", id="app.last"),
    Binding(
        "full_stop", "replay('jump_to', 1)", "jump", key_display=".", tooltip="to the next eviction that hurt, or J"
    ),
    Binding("comma", "replay('jump_to', -1)", show=False, key_display=",", tooltip="back to the one before"),
    Binding(
        "J", "replay('choose_sort')", show=False, tooltip="what . and , look for: harm, policy, order, fault, mark"
    ),
    Binding("B", "replay('toggle_bookmark')", show=False, tooltip="set a bookmark here, or take it away"),
    Binding("colon,ctrl+g", "go_to_time", "go to", key_display=":", tooltip="go to a time: 90, 1:30 or 1:02:03"),
    Binding("i", "replay('toggle_skip')", show=False, tooltip="skip stretches in which nothing happens, or not"),
]
_NAMES = {
    "space": "play",
    "left_square_bracket": "event_back",
    "right_square_bracket": "event",
    "left_curly_bracket": "back",
    "right_curly_bracket": "on",
    "m": "minute_back",
    "M": "minute",
    "minus": "slower",
    "plus,equals_sign": "faster",
    "full_stop": "jump",
    "comma": "jump_back",
    "J": "sort",
    "B": "bookmark",
    "colon,ctrl+g": "go_to",
    "i": "skip_idle",
}
"""What a settings file calls them. The ends of a recording are under the same names as those of a list: two names on
one key, of which one works, would take it from each other when one of them is given another key."""
REPLAY_BINDINGS = [dataclasses.replace(one, id=one.id or f"replay.{_NAMES[one.key]}") for one in _BINDINGS]


def parse_time(text: str) -> float:
    """Seconds since the start of a run: '90', '1:30', '1:02:03.5'. Raises ValueError with words."""
    seconds = 0.0
    try:
        for part in text.strip().split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9 or text.count(":") > 2:
        raise ValueError(f"{text!r} is not a time; write 90, 1:30 or 1:02:03")
    return seconds


def ask_for_time(app: App[None], replay: ReplayFeed) -> None:
    """Ask where to go, and go there."""

    def answered(seconds: float | None) -> None:
        if seconds is not None:
            replay.seek(replay.first_ns + int(seconds * 1e9))

    question = "Go to which time since the start?"
    app.push_screen(Ask(question, "0:00", "90, 1:30 or 1:02:03", parse_time), answered)
