#!/bin/sh
# Makes .venv ready to run (`setup.sh`), and to lint as well (`setup.sh lint`). Finds a Python, setup.py does the rest.
set -eu
cd "$(dirname "$0")/.."

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" || { echo "setup: PYTHON=$PYTHON is not a Python 3.11 or newer" >&2; exit 1; }
else
    for candidate in .venv/bin/python python3 python3.11 python3.12 python3.13 python; do
        if new_enough "$candidate"; then PYTHON=$candidate; break; fi
    done
fi
if [ -z "${PYTHON:-}" ]; then
    echo "setup: no Python 3.11 or newer found ($(python3 --version 2>&1)). Install one, or name it: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
exec "$PYTHON" scripts/setup.py "$@"
