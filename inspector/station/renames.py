"""Renames that never overwrite, with parent folders, a trial rename and a flush of a folder."""

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
    """Rename a file; raise FileExistsError if the target exists."""
    paths = os.fsencode(source), os.fsencode(target)
    if _libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in _UNSUPPORTED_ERRNOS:
        raise OSError(code, os.strerror(code), str(source))
    # Only one daemon writes below these folders (the drop folder's lock), so a check before the rename is
    # enough. A link and an unlink are not: in between, the name may be given to a new file, which would be
    # lost.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def put_back(target: Path, path: Path) -> None:
    """Return a wrongly moved file; if its name is taken again, use the next free one."""
    number = 0
    while True:
        name = path if number == 0 else path.with_name(f"{path.stem[:40]}-{number}{path.suffix[:16]}")
        try:
            return noreplace(target, name)
        except FileExistsError:
            number += 1


def make_parent(target: Path, root: Path) -> None:
    """Create the folders below the root; the root itself must exist, since it may be a lost mount point."""
    root.stat()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file is in the folder's place, which is no taken path
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def try_rename(folder: Path, drop: Path) -> OSError | None:
    """Try to move a file from the drop folder; return the error, or None. Nothing is left behind."""
    probe = drop / f".weldnet-{os.getpid()}-probe"  # hidden, so it is no intake; it exists for a moment
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
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
