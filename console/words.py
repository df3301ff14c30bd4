"""Numbers as people read them: durations, tokens, shares. Every part of the console words them alike."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path


def seconds(value: float) -> str:
    """A duration: 8 ms, 1.2 s, 3 min 05 s, 2 h 10 min."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    if value < 3600:
        return f"{int(value) // 60} min {int(value) % 60:02} s"
    return f"{int(value) // 3600} h {int(value) % 3600 // 60:02} min"


def brief(value: float) -> str:
    """A duration in at most six characters: 0.4s, 42s, 3m05s, 2h10m."""
    if value < 60:
        return f"{value:.1f}s" if value < 10 else f"{value:.0f}s"
    if value < 3600:
        return f"{int(value) // 60}m{int(value) % 60:02}s"
    return f"{int(value) // 3600}h{int(value) % 3600 // 60:02}m"


def clock(value_s: float) -> str:
    """A position in a run: 3:07.2 or 1:03:07.2."""
    tenths = round(max(0.0, value_s) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02}.{rest % 10}"


def time_of_day(t_ns: int) -> str:
    """UTC time of day with tenths: 13:05:59.3."""
    moment = time.gmtime(t_ns // 1_000_000_000)
    return f"{time.strftime('%H:%M:%S', moment)}.{t_ns // 100_000_000 % 10}"


def tokens(number: int) -> str:
    return f"{number:,} tok"


def short(number: float) -> str:
    """A count in at most five characters: 512, 4.1k, 88k, 1.2M."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if number >= limit * 0.9995:
            scaled = number / limit
            return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    return f"{number:.0f}"


def ratio(part: float, whole: float) -> str:
    """A share in per cent, or a dash where there is nothing to divide by."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "-"


def signed(value: float) -> str:
    return f"{value:+g}"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def parts(named: dict[str, float]) -> str:
    """Score parts in words, units read from the names: 'survival 0.02, back in 4 s'."""
    return ", ".join(_part(name, value) for name, value in named.items())


def _part(name: str, value: float) -> str:
    for suffix, unit in (("_per_s", "/s"), ("_s", " s"), ("_tokens", " tok")):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix).replace('_', ' ')} {value:.3g}{unit}"
    return f"{name.replace('_', ' ')} {value:.3g}"


def printable(text: str) -> str:
    """The text with everything that could steer a terminal made visible instead."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def brief_id(text: str) -> str:
    """An identifier short enough for a sentence, long enough to find it by."""
    return text if len(text) <= 14 else f"{text[:11]}…"


def clip(text: str, width: int) -> str:
    """The text in at most `width` characters, with an ellipsis where something was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def room_for(names: Iterable[str], least: int, most: int) -> int:
    """Columns for the longest of these names: at most `most`, but `least` in any case."""
    return max(least, min(max(map(len, names), default=0), most))


def clip_middle(text: str, width: int) -> str:
    """The text in at most `width` characters, with an ellipsis for its middle: names of one kind differ at their
    ends."""
    return text if len(text) <= width else f"{text[: (width - 1) // 2]}…{text[len(text) - width // 2 :]}"


def rounded(value: float) -> str:
    """Four digits, and large ones in thousands: 0.05, 4096, 262.1k, 1G."""
    value = float(f"{value:.4g}")
    for limit, unit, by in ((1e9, "G", 1e9), (1e6, "M", 1e6), (1e4, "k", 1e3)):
        if abs(value) >= limit:
            return f"{value / by:.4g}{unit}"
    return f"{value:.4g}"


def bar(share: float, width: int) -> str:
    """A gauge of `width` characters that reads without colour: ████▌░░░."""
    eighths = round(max(0.0, min(1.0, share)) * width * 2)
    full, half = divmod(eighths, 2)
    return "█" * full + "▌" * half + "░" * (width - full - half)


def spark(values: list[float], top: float = 0.0) -> str:
    """A line of block characters, one per value; `top` fixes the scale, 0 takes the largest value."""
    levels = " ▁▂▃▄▅▆▇█"
    high = top or max(values, default=0.0)
    if high <= 0:
        return " " * len(values)
    return "".join(levels[0 if value <= 0 else max(1, min(8, round(8 * value / high)))] for value in values)


def plain(text: str) -> str:
    """The text so that a border title shows it as it is, square brackets and all."""
    return text.replace("[", "\\[")


def start_words() -> str:
    """What to do where no daemon is."""
    return f"start one with: {command_line('serve')}"


def command_line(*words: str | Path) -> str:
    """A `radixdeck` command that works as it stands in this user's shell: with the path of this installation's script
    where the bare name is not on PATH or means another one."""
    script = Path(sys.executable).with_name("radixdeck")
    bare = shutil.which("radixdeck")
    known = not script.exists() or (bare is not None and Path(bare) == script)
    return shlex.join(["radixdeck" if known else str(script), *map(str, words)])
