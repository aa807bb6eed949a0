"""Folders opened by descriptor, so that a link cannot lead a read or a move to another place.

A camera's account owns its sub-folder of the drop folder. It can rename that folder and put a link in its
place, between any two steps of the station. A path through the sub-folder would then follow the link, with
the rights of the station. A descriptor still leads to the folder that was opened.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_below(folder_fd: int, name: str) -> int:
    """Open a folder in an open folder and return its descriptor; a link is not followed.

    Raises:
        FileNotFoundError: there is no such folder, or a link or a file has its name.
        OSError: it cannot be opened.
    """
    try:
        return os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=folder_fd)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None
        raise


@contextmanager
def parent(path: Path, root: Path) -> Iterator[int]:
    """Open the folder that holds ``path`` for the block, and yield its descriptor.

    Links in the path of ``root`` are followed, because a setting names it. Links below it are not.

    Raises:
        FileNotFoundError: a folder on the way is missing, or a link has its name.
        OSError: a folder cannot be opened.
    """
    fd = os.open(root, _FOLDER_FLAGS)
    try:
        for name in path.parent.relative_to(root).parts:
            below = open_below(fd, name)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def status(path: Path, root: Path) -> os.stat_result:
    """Return the status of ``path`` itself, without following a link below ``root``.

    Raises:
        OSError: it is not there.
    """
    with parent(path, root) as fd:
        return os.stat(path.name, dir_fd=fd, follow_symlinks=False)
