"""What SGLang lacks on a machine without an accelerator: stand-ins for two compiled packages, and CPU fill-ins.

`activate` is the `sglang.srt.platforms` entry point: it runs inside `import sglang`, in every process, before the
packages it stands in for are imported. `fill_in` is called by the plug-in, after SGLang's modules are loaded.
With a usable accelerator both do nothing, in any SGLang run of this environment.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

STAND_INS = Path(__file__).with_name("cpu_stubs")
"""Folder of `sgl_kernel` and `torchvision` stand-ins: only the names that SGLang imports unconditionally."""

_filled_in = False


def has_accelerator() -> bool:
    """Whether torch can compute on anything but the CPU (CUDA, ROCm or XPU) in this process."""
    torch: Any = importlib.import_module("torch")
    return bool(torch.cuda.is_available() or torch.xpu.is_available())


def activate() -> None:
    """Let SGLang start on the CPU. None means: no platform of our own, SGLang's built-in CPU platform serves."""
    if os.environ.get("SGLANG_PLATFORM") or has_accelerator():
        return
    os.environ.setdefault("SGLANG_USE_CPU_ENGINE", "1")
    # At the end of the path, so that the real packages win wherever they are installed.
    if str(STAND_INS) not in sys.path:
        sys.path.append(str(STAND_INS))


def fill_in() -> None:
    """Replace the parts that have no CPU path or a needlessly slow one. Once per process; a no-op with a GPU."""
    global _filled_in  # noqa: PLW0603
    if _filled_in or has_accelerator():
        return
    _filled_in = True
    from . import cpu_attention, cpu_memory

    cpu_attention.register()
    cpu_memory.register()
