"""`python -m radixdeck.demos`: whose tokens are in the KV cache, and what it is worth to know."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .story import Options, tell
from .until_told import run_until_told

QUICK_REQUESTS = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Exit codes: 0 done, 1 a request failed, 2 could not run, 130 stopped."""
    options = parse(arguments)
    return run_until_told("demo", lambda progress: tell(options, progress))


def parse(arguments: Sequence[str] | None) -> Options:
    default = Options()
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_REQUESTS} requests per policy")
    parser.add_argument("--requests", type=int, default=default.requests, help="per policy [%(default)s]")
    parser.add_argument("--seed", type=int, default=default.seed, help="of the workload [%(default)s]")
    parser.add_argument("--policy", default=default.policy, help="what to compare with LRU [%(default)s]")
    parser.add_argument("--kv-tokens", type=int, default=default.kv_tokens, help="KV cache size [%(default)s]")
    parser.add_argument("--sessions", type=int, default=default.sessions, help="live at a time [%(default)s]")
    parser.add_argument("--logs", type=Path, help="real conversations: Who&When file or folder, or Mooncake *.jsonl")
    parser.add_argument("--model", default="", help="model id or path; none: a small one made on the spot")
    parser.add_argument("--no-console", action="store_true", help="do not open the console on this terminal")
    parser.add_argument("--out", type=Path, help="folder for table and picture [results/ in the home folder]")
    parser.add_argument("--home", default="", help="folder of recordings, logs and models [the user's]")
    told = parser.parse_args(arguments)
    return Options(
        requests=QUICK_REQUESTS if told.quick else told.requests,
        seed=told.seed,
        policy=told.policy,
        kv_tokens=told.kv_tokens,
        sessions=told.sessions,
        logs=told.logs,
        model=told.model,
        console=not told.no_console and sys.stdin.isatty() and sys.stdout.isatty(),
        out=told.out,
        home=told.home,
    )


if __name__ == "__main__":
    sys.exit(main())
