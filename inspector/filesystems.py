"""Mounts, kinds of file system, and free space."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import signal
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from inspector.errors import FolderError

# Kinds of file system, as /proc/self/mountinfo writes them.
NETWORK: Final = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "fuse.sshfs",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
    "afs",
)
_SHARED: Final = ("virtiofs", "vboxsf", "prl_fs", "smbfs", "coda", "lustre", "beegfs", "gpfs", "orangefs")
FOREIGN: Final = ("vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk")
VOLATILE: Final = ("tmpfs", "ramfs")

_MOUNTS = Path("/proc/self/mountinfo")  # proc(5)
_OCTAL_ESCAPE = re.compile(r"\\(\d{3})")  # how it writes blanks and line ends


class Mount(NamedTuple):
    """One line of the kernel's mount table."""

    point: Path
    kind: str  # of the file system
    source: str  # device, server, share


def mount_of(path: PurePath) -> Mount:
    """Return the mount that holds a path; kind and source are ``unknown`` if the kernel does not list it."""
    where, best = Path(path).resolve(), Mount(Path("/"), "unknown", "unknown")
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text().splitlines():
            before, _, after = line.partition(" - ")
            point = Path(_OCTAL_ESCAPE.sub(lambda code: chr(int(code[1], 8)), before.split()[4]))
            if (point == where or point in where.parents) and len(point.parts) >= len(best.point.parts):
                best = Mount(point, *after.split()[:2])
    return best


def file_system(path: PurePath) -> str:
    """Return the kind of file system that holds a folder, as the kernel names it, or ``unknown``."""
    return mount_of(path).kind


def is_remote(kind: str) -> bool:
    """Whether other machines or programs may write to such a file system without a report by this kernel."""
    is_fuse = kind.startswith("fuse") and kind != "fuse.fuse-overlayfs"  # the disk of a rootless container
    return is_fuse or kind in (*NETWORK, *_SHARED)


def free_gigabytes(folder: Path) -> float:
    """Return the GiB that this user may still write.

    Raises:
        FolderError: the folder is not there.
    """
    try:
        return shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        raise FolderError(f"{folder}: {error.strerror}") from None


def is_open_for_writing(path: Path) -> bool | None:
    """Whether a program has a file open for writing, as far as this process can know.

    The kernel grants a read lease only while no program has the file open for writing (F_SETLEASE in
    fcntl(2)). The lease is given back at once. Only the owner of the file and a process with CAP_LEASE get
    one, and not on every file system. Otherwise the answer is None.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # If a program opens the file for writing now, the kernel signals this process. The default signal,
        # SIGIO, would end it; SIGURG does not.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(fd)
    return False
