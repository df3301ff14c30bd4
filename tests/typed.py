"""Commands as a user types them, each in a process of its own.

What most of their time goes into is not what is tested: importing. So these processes are forked from one that has
imported everything already; a few tests of each command start it from nothing, with `cold`.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

COMMAND = (sys.executable, "-m", "radixdeck.console.cli")
FORKING = """
import atexit, contextlib, gc, json, os, sys
import radixdeck.console.app, radixdeck.console.headless, radixdeck.console.web, radixdeck.console.whatif
import radixdeck.daemon.main
with contextlib.suppress(ImportError):  # the extra 'mcp'
    import radixdeck.daemon.tools.proxy
from radixdeck.console.cli import main

gc.collect()
gc.freeze()
for line in sys.stdin:
    told = json.loads(line)
    if (child := os.fork()) == 0:
        break
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
else:
    sys.exit()

os.chdir(told["home"])
os.environ.clear()
os.environ.update(told["env"])
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for number in (1, 2):
    os.dup2(os.open(told["said"][number - 1], os.O_WRONLY), number)
sys.argv = ["radixdeck", *told["words"]]
code = 0
try:
    main()
except SystemExit as end:
    code = end.code or 0
atexit._run_exitfuncs()
sys.stdout.flush()
os._exit(code)  # to take down what was imported costs more than most commands
"""
"""Each line of its input is a command; for each it says with which code that ended."""


def environment(home: Path) -> dict[str, str]:
    """Of a user who has nothing yet, with the same radixdeck that these tests import."""
    same = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    return {"RADIXDECK_HOME": str(home), "PATH": "/usr/bin:/bin", "HOME": str(home), **same}


def cold(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in a new interpreter."""
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60, cwd=home,
                          env=environment(home), check=False)  # fmt: skip


def radixdeck(home: Path, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command, typed in the folder `home`; `env`: its whole environment if not that of `environment`."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("stdout", "stderr")]
        for path in said:
            path.touch()
        told = {"home": str(home), "words": words, "env": dict(env or environment(home)), "said": [*map(str, said)]}
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(told) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, error = (path.read_text() for path in said)
    return subprocess.CompletedProcess([*words], code, out, error)


@cache
def _server() -> subprocess.Popen[str]:
    """Ends with the process of the tests."""
    server = subprocess.Popen([sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=environment(Path(os.devnull)))  # fmt: skip
    atexit.register(server.communicate)  # closes its input
    return server


def completed(home: Path, typed: str) -> list[str]:
    """What bash offers when tab is hit."""
    program = "from radixdeck.console.cli import app; app(prog_name='radixdeck')"
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_RADIXDECK_COMPLETE": "complete_bash"}
    ran = subprocess.run([sys.executable, "-c", program], env={**environment(home), **asked}, capture_output=True,
                         text=True, timeout=60, check=False)  # fmt: skip
    return ran.stdout.split()
