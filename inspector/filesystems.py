"""Mounts, kinds of file system, and free space."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from inspector.errors import FolderError

# Kinds as /proc/self/mountinfo names them.
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
_OCTAL_ESCAPE = re.compile(r"\\(\d{3})")  # how blanks and line ends stand in it


class Mount(NamedTuple):
    """One line of the kernel's mount table."""

    point: Path
    kind: str  # of the file system
    source: str  # device, server, share


def mount_of(path: PurePath) -> Mount:
    """Which mount a path lies on; kind and source are ``unknown`` where the kernel does not tell."""
    where, best = Path(path).resolve(), Mount(Path("/"), "unknown", "unknown")
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text().splitlines():
            before, _, after = line.partition(" - ")
            point = Path(_OCTAL_ESCAPE.sub(lambda code: chr(int(code[1], 8)), before.split()[4]))
            if (point == where or point in where.parents) and len(point.parts) >= len(best.point.parts):
                best = Mount(point, *after.split()[:2])
    return best


def file_system(path: PurePath) -> str:
    """What kind of file system a folder lies on, as the kernel names it; ``unknown`` where it does not."""
    return mount_of(path).kind


def is_remote(kind: str) -> bool:
    """Whether somebody else may write to such a file system, of which this kernel reports nothing."""
    is_fuse = kind.startswith("fuse") and kind != "fuse.fuse-overlayfs"  # the disk of a rootless container
    return is_fuse or kind in (*NETWORK, *_SHARED)


def free_gigabytes(folder: Path) -> float:
    """GiB that this user may still write.

    Raises:
        FolderError: the folder is not there.
    """
    try:
        return shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        raise FolderError(f"{folder}: {error.strerror}") from None
