"""Makes .venv: our package, and SGLang as this machine can run it. A second run finds the stamp and does nothing.

ENGINE=cuda installs SGLang with its whole CUDA stack, cpu the small set that runs on the CPU, none no engine;
auto (the default) looks for an NVIDIA GPU. Only the standard library is used: nothing is installed yet.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "setup.log"
SGLANG = "sglang==0.5.21"
EXTRAS = "test,demo,web"
INPUTS = ("constraints.txt", "requirements-engine-cpu.txt", "pyproject.toml", "scripts/setup.py")
PINNED = ("-c", "constraints.txt")
QUIETLY = ("--disable-pip-version-check", "--progress-bar", "off", "--no-compile")
"""No bytecode from pip, which makes it one file after the other, and there are 270 MB of Python to go through."""


class SetupError(Exception):
    """Something is missing that only a person can provide. The message says what to do."""


def engine_wanted() -> str:
    """cuda, cpu or none: what ENGINE says, else what the machine has."""
    told = os.environ.get("ENGINE", "auto") or "auto"
    if told not in {"auto", "cuda", "cpu", "none"}:
        raise SetupError(f"ENGINE={told}: must be auto, cuda, cpu or none")
    if told != "auto":
        return told
    lister = shutil.which("nvidia-smi")
    found = lister and b"GPU" in subprocess.run([lister, "-L"], capture_output=True, check=False).stdout
    return "cuda" if found else "cpu"


def pip_steps(engine: str, level: str) -> list[tuple[str, list[str]]]:
    """What to install, in words and as pip arguments."""
    if level == "lint":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return [("tools for types, style and imports", [*project["optional-dependencies"]["dev"], *PINNED])]
    ours = ("radixdeck, its tests and demos", ["-e", f".[{EXTRAS}]", *PINNED])
    if engine == "cuda":
        return [("radixdeck and SGLang with CUDA (several GB)", ["-e", f".[engine,{EXTRAS}]", *PINNED])]
    if engine == "none":
        return [ours]
    return [
        ("PyTorch and what SGLang needs on a CPU", ["-r", "requirements-engine-cpu.txt", *PINNED]),
        ("SGLang itself", ["--no-deps", SGLANG]),
        ours,
    ]


def stamp_key(engine: str) -> str:
    """Changes whenever another set-up would come out."""
    digest = hashlib.sha256(f"{engine} {sys.version_info[:2]}".encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def make_venv() -> None:
    """A virtual environment with pip, unless a working one is there."""
    if (
        PYTHON.exists()
        and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    ):
        return
    print("setup: making .venv", flush=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        said = (made.stdout + made.stderr).strip()
        raise SetupError(
            f"{sys.executable} cannot make a virtual environment (Debian, Ubuntu: apt install python3-venv):\n{said}"
        )


def pip_install(words: str, arguments: list[str]) -> None:
    """Run pip, all of its output in the log, the package at hand on the terminal. Raises SetupError with its end."""
    started = time.monotonic()
    print(f"setup: installing {words}", flush=True)
    command = [str(PYTHON), "-m", "pip", "install", *QUIETLY, *arguments]
    last: list[str] = []
    with LOG.open("a", encoding="utf-8") as log:
        pip = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert pip.stdout is not None
        for line in pip.stdout:
            log.write(line)
            last = [*last[-14:], line]
            show(line)
        status = pip.wait()
    clear_line()
    if status != 0:
        raise SetupError(f"pip failed ({' '.join(arguments)}); all of it is in {LOG}:\n{''.join(last)}")
    print(f"setup: installed {words} in {time.monotonic() - started:.0f} s", flush=True)


class Bytecode:
    """Made of all that is installed and has none yet, on all cores, behind pip, which fetches the next packages
    meanwhile. Not of packages' own tests, which nobody imports; and not in every file is Python that compiles."""

    MAKE = (
        "import compileall, os, re, sysconfig; os.nice(10); tests = re.compile('/site-packages/.*/tests?/');"
        " compileall.compile_dir(sysconfig.get_path('purelib'), quiet=2, workers=0, rx=tests)"
    )

    def __init__(self) -> None:
        self._making: subprocess.Popen[bytes] | None = None
        self._behind = False

    def more(self) -> None:
        """Something was installed. While the last is still being made, its turn comes later."""
        self._behind = self._making is not None and self._making.poll() is None
        if not self._behind:
            command = [str(PYTHON), "-c", self.MAKE]
            # A group of its own: it works in several processes, and `stop` has to reach all of them.
            self._making = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )

    def finish(self) -> None:
        """Wait until it is there of everything."""
        while self._making is not None:
            self._making.wait()
            self._making = None
            if self._behind:
                self.more()

    def stop(self) -> None:
        """End what is being made, if anything is, and begin nothing more."""
        if self._making is not None and self._making.poll() is None:
            os.killpg(self._making.pid, signal.SIGTERM)
            self._making.wait()


def show(line: str) -> None:
    """On a terminal, one changing line: what is being fetched."""
    found = re.match(r"\s*(Collecting|Downloading|Using cached|Installing collected)\s+(\S+)(.*)", line)
    if sys.stdout.isatty() and found:
        size = re.search(r"\([\d.]+ [kMG]B\)", found[3])
        print(f"\r\033[K       {found[1]} {found[2][:60]} {size[0] if size else ''}", end="", flush=True)


def clear_line() -> None:
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)


def downloaded_mb() -> float:
    """What pip says it downloaded, from the log; files from a local folder or cache do not count."""
    sizes = re.findall(r"Downloading \S+ \(([\d.]+) ([kMG])B\)", LOG.read_text(encoding="utf-8", errors="replace"))
    return sum(float(number) * {"k": 1e-3, "M": 1.0, "G": 1e3}[unit] for number, unit in sizes)


def stamp(level: str) -> Path:
    return VENV / f".set-up-{level}"


def is_there(level: str, key: str) -> bool:
    return PYTHON.exists() and stamp(level).exists() and stamp(level).read_text(encoding="utf-8") == key


def install(engine: str, level: str) -> None:
    """All of one level, bytecode included. When this fails or is interrupted, nothing is left running."""
    bytecode = Bytecode()
    try:
        for words, arguments in pip_steps(engine, level):
            pip_install(words, arguments)
            bytecode.more()
        bytecode.finish()
    finally:
        bytecode.stop()


def set_up(wanted: list[str]) -> None:
    """Bring .venv to each of the levels `wanted` (run, lint) unless its stamp says that it is there."""
    engine = engine_wanted()
    key = stamp_key(engine)
    levels = [level for level in wanted if not is_there(level, key)]
    if not levels:
        return
    started = time.monotonic()
    make_venv()
    if "run" in levels:
        kinds = {"cuda": "NVIDIA GPU", "cpu": "CPU", "none": "no engine"}
        print(f"setup: engine for: {kinds[engine]} (ENGINE=cpu, cuda or none decides otherwise)", flush=True)
    LOG.unlink(missing_ok=True)
    for level in levels:
        install(engine, level)
        stamp(level).write_text(key, encoding="utf-8")
    print(f"setup: ready after {time.monotonic() - started:.0f} s, {downloaded_mb():.0f} MB downloaded", flush=True)


def main() -> int:
    levels = ["run", *sys.argv[1:]]
    if unknown := set(levels) - {"run", "lint"}:
        print(f"setup: unknown argument: {' '.join(unknown)}", file=sys.stderr)
        return 2
    try:
        set_up(levels)
    except (SetupError, OSError) as problem:
        print(f"setup: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
