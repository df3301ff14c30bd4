"""Entry point `sglang.srt.plugins`: what this package changes inside SGLang's processes."""

from __future__ import annotations

import logging

from . import cpu


def load() -> None:
    """Called by SGLang in its main process and in the scheduler. Logs its own failure: SGLang goes on without us."""
    try:
        cpu.fill_in()
    except Exception:
        logging.getLogger(__name__).exception("radixdeck: the CPU fill-ins could not be applied")
