"""Renames that never overwrite, and what goes with them: folders made on the way, a trial, a flush."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path
from typing import Final

_RENAME_NOREPLACE: Final = 1
_AT_FDCWD: Final = -100
_UNSUPPORTED_ERRNOS: Final = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)  # kernel, NFS and some FUSE

_libc = ctypes.CDLL(None, use_errno=True)


def noreplace(source: Path, target: Path) -> None:
    """Rename, and raise FileExistsError rather than overwrite."""
    paths = os.fsencode(source), os.fsencode(target)
    if _libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in _UNSUPPORTED_ERRNOS:
        raise OSError(code, os.strerror(code), str(source))
    # One daemon alone writes below these folders (the drop folder's lock), so to look first is enough. A link
    # and an unlink would not be: between the two the name may be given to a new file, and that would be lost.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def put_back(target: Path, path: Path) -> None:
    """Return a wrongly moved file; where its name is taken again, under the next free one."""
    number = 0
    while True:
        name = path if number == 0 else path.with_name(f"{path.stem[:40]}-{number}{path.suffix[:16]}")
        try:
            return noreplace(target, name)
        except FileExistsError:
            number += 1


def make_parent(target: Path, root: Path) -> None:
    """Folders of the day and the verdict, but never the root: it may be a mount point that lost its disk."""
    root.stat()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file where the folder should be: not the same as a taken path
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def try_rename(folder: Path, drop: Path) -> OSError | None:
    """Why nothing can be moved from the drop folder, or None; it leaves no trace."""
    probe = drop / f".weldnet-{os.getpid()}-probe"  # hidden: no intake; it lives for a moment
    target = folder / probe.name
    try:
        probe.touch()
        probe.rename(target)
    except OSError as error:
        return error
    finally:
        for path in (probe, target):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    return None


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, not only in memory."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
