"""One process at a time: locks on files that only the service can open, and the process that holds one.

Any account that may read the drop folder can lock it. The camera's account could take such a lock and keep
the daemon from starting. So the lock files are in the quarantine folder. The daemon locks the drop folder
too, but only to notice a second daemon of its own account with another quarantine folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from inspector.errors import FolderError, StationError

DAEMON_LOCK: Final = ".daemon.lock"  # in the quarantine folder; hidden, so it is no quarantined file
UPKEEP_LOCK: Final = ".upkeep.lock"
_FULL_DISK_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS_ERRNOS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some network file systems

log = logging.getLogger("weldnet")


@contextmanager
def daemon_lock(quarantine_folder: Path) -> Iterator[None]:
    """Hold the lock of the one daemon during the block; the lock ends with the process, also after a kill.

    Raises:
        FolderError: another daemon is at work, or the file cannot be opened.
    """
    with _held(quarantine_folder / DAEMON_LOCK) as other:
        if other is not None:
            raise FolderError(
                f"{quarantine_folder}: another daemon{other} works with this quarantine_folder; "
                "stop that one, or give this station folders of its own"
            )
        yield


@contextmanager
def upkeep_lock(quarantine_folder: Path) -> Iterator[None]:
    """Hold the lock of the one command that removes or requeues files, during the block.

    Raises:
        FolderError: there is no such folder, or the file cannot be opened.
        StationError: another command is at work.
    """
    with _held(quarantine_folder / UPKEEP_LOCK) as other:
        if other is not None:
            raise StationError(
                f"{quarantine_folder}: another prune or requeue{other} is at work; try again after it"
            )
        yield


@contextmanager
def install_lock(artifact: Path) -> Iterator[None]:
    """Hold the lock of the one command that exchanges an artifact, during the block.

    Raises:
        FolderError: there is no such folder, or the file cannot be opened.
        StationError: another command is at work.
    """
    with _held(artifact.with_name(f".{artifact.name}.lock")) as other:
        if other is not None:
            raise StationError(f"{artifact}: another install-artifact{other} is at work; try again after it")
        yield


@contextmanager
def export_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of the one export that adds to a data set, during the block; the folder itself is locked.

    Raises:
        FolderError: the folder cannot be opened.
        StationError: another export is at work.
    """
    with _held(folder) as other:
        if other is not None:
            raise StationError(f"{folder}: another export{other} adds to it; try again after it")
        yield


@contextmanager
def _held(file: Path) -> Iterator[str | None]:
    """Lock a file or folder for the block; yield None, or `` (process N)`` if another process has it."""
    try:
        descriptor = _opened(file)
    except OSError as error:
        if error.errno in _FULL_DISK_ERRNOS:  # a station must start on a full disk, too
            log.warning("%s cannot be made (%s): a second process would not be noticed", file, error.strerror)
            yield None
            return
        raise FolderError(
            f"{file}: {error.strerror}; create the folder, or run this as the service's user"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = holder(file)
        yield "" if process is None else f" (process {process})"
    except OSError as error:
        if error.errno not in _NO_LOCKS_ERRNOS:
            raise FolderError(f"{file}: cannot be locked: {error.strerror}") from None
        log.warning("%s cannot be locked (%s): a second process would not be noticed", file, error.strerror)
        yield None
    else:
        yield None
    finally:
        os.close(descriptor)


def _opened(file: Path) -> int:
    """Open a folder, or a lock file, which only its folder's owner may open; create a missing file."""
    if file.is_dir():
        return os.open(file, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):
        if os.geteuid() == 0:  # the service must be able to open a file that an administrator's command made
            owner = file.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def holder(path: Path) -> int | None:
    """Find the process that holds the lock of a file or folder; None if it is unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            wanted = f"{_device(descriptor)}:{os.fstat(descriptor).st_ino}"
        finally:
            os.close(descriptor)
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
            if fields[1] == "FLOCK" and fields[5] == wanted:
                return int(fields[4])
    return None


def _device(descriptor: int) -> str:
    """Return the device as ``/proc/locks`` writes it; on btrfs and overlays ``stat`` has another number."""
    about = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    mount = next(line.split()[1] for line in about if line.startswith("mnt_id:"))
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    major, minor = next(line.split()[2] for line in table if line.split()[0] == mount).split(":")
    return f"{int(major):02x}:{int(minor):02x}"


def is_trusted(process: int | None) -> bool:
    """Whether a process belongs to this user or to root; False if it is unknown or hidden."""
    with contextlib.suppress(OSError):
        return process is not None and Path(f"/proc/{process}").stat().st_uid in (0, os.geteuid())
    return False
