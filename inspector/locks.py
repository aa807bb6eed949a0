"""One process at a time: folder locks, and the process that holds one."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspector.errors import FolderError, StationError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
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
        process = holder(folder)
        by = "" if process is None else f" (process {process})"
        raise StationError(f"{folder}: another prune or requeue{by} is at work; try again after it") from None
    finally:
        os.close(descriptor)


def holder(folder: Path) -> int | None:
    """The process that holds a drop folder's lock, found without taking it; None where that is not told."""
    with contextlib.suppress(OSError):
        return _holder(folder.stat().st_ino)
    return None


def holder_text(fd: int) -> str:
    """`` (process N)`` of whoever holds the flock; empty where that is not told."""
    process = _holder(os.fstat(fd).st_ino)
    return "" if process is None else f" (process {process})"


def _holder(inode: int) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
            if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
                return int(fields[4])
    return None
