"""Renames that never overwrite, with parent folders and a trial rename.

A file in the drop folder is named by the descriptor of its folder, so that a link which the camera's account
puts there leads nowhere (see :mod:`inspector.folders`). The folders of the archive and the quarantine belong
to the station, so paths are enough there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import stat
from pathlib import Path, PurePath
from typing import Final

_RENAME_NOREPLACE: Final = 1
_AT_FDCWD: Final = -100
_UNSUPPORTED_ERRNOS: Final = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)  # kernel, NFS and some FUSE
# From link(2) on a file system that has no hard links.
_NO_LINKS_ERRNOS: Final = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)

_libc = ctypes.CDLL(None, use_errno=True)


def out_of(folder_fd: int, name: str, target: Path) -> None:
    """Move a file out of an open folder; raise FileExistsError if the target exists."""
    if _noreplace(folder_fd, name, _AT_FDCWD, target):
        return
    # Only this daemon writes below the target's folder, so a check before the rename is enough. A link and an
    # unlink are not: in between, the name may be given to a new file, which the unlink would remove.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(name, target, src_dir_fd=folder_fd)


def into(folder_fd: int, name: str, source: Path) -> None:
    """Move a file of the station into an open folder that others write to; raise FileExistsError as above."""
    if _noreplace(_AT_FDCWD, source, folder_fd, name):
        return
    # Others write to the target's folder, so a check before a rename proves nothing. Only the station writes
    # to the source's folder, so a link and an unlink lose nothing.
    status = source.lstat()
    if stat.S_ISDIR(status.st_mode):  # it has no links, and a rename of it replaces no file
        if _exists(folder_fd, name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        os.rename(source, name, dst_dir_fd=folder_fd)
        return
    try:
        os.link(source, name, dst_dir_fd=folder_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS_ERRNOS or not stat.S_ISREG(status.st_mode):
            raise
        _copy(source, status, folder_fd, name)
    source.unlink()


def put_back(target: Path, folder_fd: int, name: str) -> None:
    """Return a wrongly moved file; if its name is taken again, use the next free one."""
    path, number = PurePath(name), 0
    while True:
        free = name if number == 0 else f"{path.stem[:40]}-{number}{path.suffix[:16]}"
        try:
            return into(folder_fd, free, target)
        except FileExistsError:
            number += 1


def _noreplace(source_fd: int, source: str | Path, target_fd: int, target: str | Path) -> bool:
    """Rename and never overwrite; False if the kernel or the file system cannot do that in one step."""
    names = os.fsencode(source), os.fsencode(target)
    if _libc.renameat2(source_fd, names[0], target_fd, names[1], _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code not in _UNSUPPORTED_ERRNOS:
        raise OSError(code, os.strerror(code), str(source))
    return False


def _exists(folder_fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _copy(source: Path, status: os.stat_result, folder_fd: int, name: str) -> None:
    """Write a new file with the bytes and times of ``source``; a reader waits until it stops growing."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640, dir_fd=folder_fd)
    with os.fdopen(fd, "wb") as copy:
        copy.write(source.read_bytes())
        copy.flush()
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(fd)


def make_parent(target: Path, root: Path) -> None:
    """Create the folders below the root; the root itself must exist, since it may be a lost mount point."""
    root.stat()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file is in the folder's place, which is no taken path
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def try_rename(folder: Path, drop: Path) -> OSError | None:
    """Try to move a file from the drop folder; return the error, or None. Nothing is left behind.

    The file is hidden, so it is no intake. Its name cannot be guessed, and the file is new, so that a link
    which is there already can lead to no other file.
    """
    probe = drop / f".weldnet-{secrets.token_hex(8)}-probe"
    target = folder / probe.name
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        probe.rename(target)
    except OSError as error:
        return error
    finally:
        for path in (probe, target):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    return None
