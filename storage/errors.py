"""What storage raises; callers turn it into words for people.

StorageError
|- RecordingError   a recording cannot be begun
|- SessionError     a recording cannot be opened or read
`- WhatIfError      a recording cannot be run through a modelled cache
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors raised by storage. The message names the file and what is wrong with it."""


class RecordingError(StorageError):
    """A recording cannot be begun: the file is there already, or its folder cannot be written."""


class SessionError(StorageError):
    """A recording cannot be opened or read."""


class WhatIfError(StorageError):
    """A what-if cannot be asked: of a size that makes no sense, or of a recording without requests."""
