"""What storage raises; callers turn it into words for people.

StorageError
|- RecordingError   a recording cannot be begun
`- SessionError     a recording cannot be opened or read
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors raised by storage. The message names the file and what is wrong with it."""


class RecordingError(StorageError):
    """A recording cannot be begun: the file is there already, or its folder cannot be written."""


class SessionError(StorageError):
    """A recording cannot be opened or read."""
