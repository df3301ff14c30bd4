"""How many files a daemon may have open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SERVE = """
import resource, sys
from radixdeck.daemon.config import DaemonConfig
from radixdeck.daemon.main import serve
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
assert serve(DaemonConfig(home=sys.argv[1], broker="none such"), print) == 2
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_serve_takes_as_many_open_files_as_it_may_have(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", SERVE, tmp_path], check=True, capture_output=True, text=True)
    assert told.stdout.splitlines()[-1] == "(512, 512)"
