"""A curve of hit rate over memory as characters, and in words. Pure."""

from __future__ import annotations

from textual.content import Content

from radixdeck.storage.miss_ratio import SIZES, Curve

from .charts import LEVELS, SCALE_WIDTH
from .words import clip, count, tokens

MARK = "◆"
NOT_KNOWN = "is not known yet"


def draw(curve: Curve, width: int, height: int) -> Content:
    """Columns from a quarter to four times the memory, 0 to 100 %, dots where it is not known yet, with what is really
    served as a mark above the memory that there is; the last line names the sizes."""
    rows, columns = max(2, height - 1), max(5, width - SCALE_WIDTH)
    rates = [curve.at(SIZES[0] * (SIZES[-1] / SIZES[0]) ** (place / (columns - 1))) for place in range(columns)]
    marked = (min(rows - 1, int(curve.live * rows)), (columns - 1) // 2)
    lines: list[Content] = []
    for row in range(rows - 1, -1, -1):
        label = "100 %" if row == rows - 1 else "0 %" if row == 0 else "50 %" if row == rows // 2 else ""
        blocks = "".join(_block(rate, row, rows) for rate in rates)
        line = [(f"{label:>{SCALE_WIDTH - 1}} ", "$text-muted")]
        if row == marked[0]:
            place = marked[1]
            line += [(blocks[:place], "$secondary"), (MARK, "$accent bold"), (blocks[place + 1 :], "$secondary")]
        else:
            line.append((blocks, "$secondary"))
        lines.append(Content.assemble(*line))
    lines.append(Content.styled(f"{' ' * SCALE_WIDTH}{_ruler(columns)}", "$text-muted"))
    return Content("\n").join(lines)


def words(curve: Curve) -> str:
    """'With 2x the KV memory the hit rate would be 62 %, with half of it 21 %.'"""
    now = curve.at(1.0)
    told = [f"{name} the hit rate {_rate(curve, times, now)}" for name, times in (
        ("With 2x the KV memory", 2.0), ("with 4x", 4.0), ("with half of it", 0.5))]  # fmt: skip
    here = f"what plain LRU would serve {NOT_KNOWN}" if now is None else f"plain LRU would serve {now:.1%}"
    sample = f", of which one block in {curve.every} is followed" if curve.every > 1 else ""
    return (
        f"{told[0]}, {told[1]}, {told[2]}. At the memory there is ({tokens(curve.kv_tokens)}) {here}; "
        f"really {curve.live:.1%} is served ({MARK}). The curve is LRU's, of the last "
        f"{count(curve.requests, 'request')}{sample}; another policy has another one."
    )


def _rate(curve: Curve, times: float, now: float | None) -> str:
    rate = curve.at(times)
    if rate is None:
        return NOT_KNOWN
    return f"would be {rate:.1%}" if now is None else f"would be {rate:.1%} ({100 * (rate - now):+.1f} points)"


def _block(rate: float | None, row: int, rows: int) -> str:
    if rate is None:
        return " " if row else "·"
    eighths = round(rate * rows * 8) - row * 8
    return LEVELS[max(0, min(8, eighths))]


def _ruler(columns: int) -> str:
    """The names of the sizes under their columns."""
    line = [" "] * columns
    for times in (0.25, 0.5, 1.0, 2.0, 4.0):
        name = f"{times:g}x"
        share = (SIZES.index(times)) / (len(SIZES) - 1)
        at = max(0, min(columns - len(name), round(share * (columns - 1)) - len(name) // 2))
        line[at : at + len(name)] = name
    return clip("".join(line), columns)
