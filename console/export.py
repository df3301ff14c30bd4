"""What is on a screen as a file: a table as CSV, records as JSON lines, the picture as SVG. No widget is drawn here."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from radixdeck.policies.events import encode

from .event_log import LogLine


def as_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Comma-separated with a header. A cell that a spreadsheet would run as a formula gets an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_tame(cell) for cell in row] for row in rows)
    return out.getvalue()


def as_jsonl(records: Iterable[msgspec.Struct]) -> str:
    """One JSON object a line."""
    return "".join(msgspec.json.encode(record).decode() + "\n" for record in records)


def log_jsonl(lines: Iterable[LogLine]) -> str:
    """Events with their numbers, as `radixdeck tail` prints them."""
    heads = ((msgspec.json.encode({"seq": line.seq}), encode(line.event)) for line in lines)
    return "".join((head[:-1] + b"," + event[1:]).decode() + "\n" for head, event in heads)


def write_new(folder: Path, stem: str, suffix: str, text: str, *, private: bool = False) -> Path:
    """Write a file of a name that is not taken yet; `private`: only its owner can read it. Raises OSError."""
    number = 1
    while True:
        path = folder / f"{stem}{'' if number == 1 else f'-{number}'}.{suffix}"
        try:
            # From the first byte on: a mode that is set after the writing comes too late.
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        except FileExistsError:
            number += 1
            continue
        with open(opened, "w", encoding="utf-8") as file:
            file.write(text)
        return path


def _tame(cell: str) -> str:
    text = cell.strip()
    numeric = text.replace(",", "").replace(".", "").lstrip("+-").isdigit()
    return f"'{text}" if text[:1] in "=@+-\t" and len(text) > 1 and not numeric else text
