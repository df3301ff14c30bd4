"""Recordings: every event of a run in one SQLite file, written beside the engine's path and read back at any time."""
