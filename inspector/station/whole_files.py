"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_FLUSH_ERRNOS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # a share that can flush no folder


def write_file(path: Path, content: bytes, unfinished: Path) -> None:
    """Write a file under another name, flush it, and rename it: it is there whole or not at all.

    The account of the PLC may write to the folder, too. A link that it puts there is removed, not followed.
    """
    try:
        unfinished.unlink(missing_ok=True)  # also what a crash left
        with os.fdopen(os.open(unfinished, _NEW_FILE, 0o666), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def flush_names(folder: Path) -> None:
    """Flush a folder's names to the disk, so that a rename in it survives a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder that this user may write to and not list
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH_ERRNOS:
            raise
    finally:
        os.close(descriptor)
