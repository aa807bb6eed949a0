"""What this machine is: file systems, accounts, clock and disk; for the installer's check."""

from __future__ import annotations

import contextlib
import ctypes
import grp
import os
import pwd
import re
import shutil
import stat
import time
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from inspector.errors import FolderError, UsageError

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
_OCTAL = re.compile(r"\\(\d{3})")  # how blanks and line ends stand in it
_TIME_ERROR = 5  # <sys/timex.h>: the clock is not synchronized
_libc = ctypes.CDLL(None, use_errno=True)


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
            point = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), before.split()[4]))
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


def clock_is_synchronized() -> bool:
    """Whether somebody keeps the kernel's clock (adjtimex(2)): systemd-timesyncd, chrony or ntpd."""
    return int(_libc.adjtimex(ctypes.create_string_buffer(512))) != _TIME_ERROR  # zeroed: only asks


def is_not_before(file: Path) -> None:
    """Refuse a clock that stands before a file was made.

    Raises:
        UsageError: it does.
    """
    try:
        made = file.stat().st_mtime
    except OSError:
        return
    if time.time() < made - 60:
        now = datetime.now(UTC).isoformat(timespec="minutes")
        raise UsageError(f"the clock says {now}, but {file} is from later; set it: timedatectl set-ntp true")


def may_move_from(drop: Path) -> None:
    """Refuse a drop folder from which this user could not take what others put into it.

    Raises:
        FolderError: a sticky bit, or files that this user cannot read.
    """
    try:
        about = drop.stat()
        there = [path for path in drop.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise FolderError(
            f"drop_folder {drop}: {error.strerror}; create it, or correct the setting"
        ) from None
    if about.st_mode & stat.S_ISVTX and os.geteuid() not in (0, about.st_uid):
        raise FolderError(f"{drop} has the sticky bit: nobody may move another's files; chmod -t {drop}")
    unreadable = [path.name for path in there if not os.access(path, os.R_OK)]
    if unreadable:
        raise FolderError(
            f"{drop}: this user may not read {len(unreadable)} files, such as {unreadable[0]!r}; share a "
            f"group with the camera's account, 'chmod g+s {drop}', and let it write with umask 0027"
        )


def may_deliver(user: str, drop: Path) -> None:
    """Refuse a drop folder that another account cannot write to, or whose files this user could not read.

    Raises:
        UsageError: there is no such account.
        FolderError: it may not reach or write to the folder, or its files would keep its own group.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no account {user!r} on this machine; correct --camera-user") from None
    groups = set(os.getgrouplist(user, account.pw_gid))
    for folder in reversed(drop.resolve().parents):
        if not _may(folder, account.pw_uid, groups, stat.S_IXOTH):
            raise FolderError(f"{user} may not pass through {folder}; chmod o+x {folder}")
    about = drop.stat()
    group = _group_name(about.st_gid)
    if not _may(drop, account.pw_uid, groups, stat.S_IWOTH | stat.S_IXOTH):
        raise FolderError(f"{user} may not write to {drop}; usermod -aG {group} {user}, chmod g+rwxs {drop}")
    if account.pw_uid != os.geteuid() and not about.st_mode & stat.S_ISGID:
        raise FolderError(
            f"{drop} lacks the set-group-ID bit: what {user} writes keeps {user}'s own group, "
            f"and this user may not read it; chmod g+s {drop}"
        )


def _may(folder: Path, user: int, groups: set[int], bits: int) -> bool:
    """Whether an account has these rights (as of others: rwx in the last three bits) by the folder's mode."""
    about = folder.stat()
    if user == 0:
        return True
    shift = 6 if about.st_uid == user else 3 if about.st_gid in groups else 0
    return about.st_mode >> shift & bits == bits


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
