"""Rules of the functions `find` and `read`: what the first one finds is read next, so reading may begin early."""

from __future__ import annotations

FIND_AND_READ = """
[tools.find]
read_only = true
ttl_s = 300
[tools.read]
read_only = true
ttl_s = 300
speculate = true
"""
