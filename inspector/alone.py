"""One command at a time where two would undo each other's work."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspector.dropfolder import owner
from inspector.errors import FolderError, StationError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder's own lock within the block; it ends with the process, however that ends.

    Raises:
        FolderError: there is no such folder, or it cannot be locked.
        StationError: another command holds it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FolderError(f"{folder}: {error.strerror}; create it, or correct the setting") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        process = owner(folder)
        who = "" if process is None else f" (process {process})"
        raise StationError(
            f"{folder}: another prune or requeue{who} is at work; try again after it"
        ) from None
    finally:
        os.close(descriptor)
