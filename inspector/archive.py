"""Moves inspected files to archive/ and unreadable ones to quarantine/: whole, verified, never overwriting.

The ledger is written first, with the path that a file is about to get; the move follows the commit. So a
crash in between leaves the file in the drop folder and a row whose path is empty, which :meth:`unfilled`
finds at the next start. A file that was replaced or written to since it was read does not move.

Where a power cut would matter: SQLite and PostgreSQL flush their commits themselves. A rename is atomic in a
journalling file system: after a power cut the file stands in one place or the other, and both replay. What
neither of them saves is the *content* of a file that its camera never flushed: the row would stand, and the
archived image be empty. One ``syncfs`` after each batch (:meth:`sync`) flushes content, renames and new
folders together, for one journal commit instead of one for each file and folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import stat
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Final

from inspector.errors import FolderError
from inspector.records import Arrival, FileStamp, Outcome, SourceFile, Verdict

log = logging.getLogger("weldnet")

_NAME_BYTES: Final = 255  # the limit of a file name on Linux file systems
_SUFFIX_BYTES: Final = 16  # a longer "suffix" is part of the name
_RESERVE_BYTES: Final = 24  # for '.', 8 to 16 hex digits and the counter
_RENAME_NOREPLACE: Final = 1
_AT_FDCWD: Final = -100
_NO_RENAMEAT2: Final = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)  # kernel, NFS and some FUSE

_libc = ctypes.CDLL(None, use_errno=True)


class Moved(StrEnum):
    """What became of a file that was to move."""

    MOVED = "moved"  # it stands at its recorded path
    CHANGED = "changed"  # other bytes or another file stood there, or its place was taken: a new arrival
    GONE = "gone"  # somebody took it away
    FAILED = "failed"  # the file system refused: it stands where it stood; do not try again at once


class Archive:
    """The two folders that files of one drop folder end in.

    Relative paths, as the ledger records them: ``<local day>/<verdict>/<stem>.<first 8 of sha256><suffix>``,
    for quarantine with the reason in the verdict's place and, without bytes to hash, the inode's number.

    Args:
        drop: the drop folder; must exist.
        archive: created where missing.
        quarantine: created where missing.

    Raises:
        FolderError: a folder is missing, not writable, or not on the drop folder's file system (found by a
            real rename, for two mounts of one file system look alike to ``stat``).
    """

    def __init__(self, drop: Path, archive: Path, quarantine: Path) -> None:
        self._roots = {False: archive, True: quarantine}
        self._promised: set[tuple[bool, str]] = set()
        if not drop.is_dir():
            raise FolderError(
                f"drop_folder {drop}: there is no such folder; create it, or correct the setting"
            )
        for key, folder in (("archive_folder", archive), ("quarantine_folder", quarantine)):
            _check(key, folder, drop)

    def inspected_path(self, arrival: Arrival, source: SourceFile, local_day: str, verdict: Verdict) -> str:
        """Free path in the archive for a judged file; promised to it until it moves."""
        return self._free_path(arrival, source, f"{local_day}/{verdict.value}", quarantine=False)

    def duplicate_path(self, arrival: Arrival, source: SourceFile, local_day: str) -> str:
        """Free path in the archive for a file delivered again."""
        return self._free_path(arrival, source, f"{local_day}/duplicate", quarantine=False)

    def quarantine_path(self, arrival: Arrival, source: SourceFile, local_day: str, reason: str) -> str:
        """Free path in the quarantine for a file that cannot be inspected."""
        return self._free_path(arrival, source, f"{local_day}/{reason}", quarantine=True)

    def unfilled(self, paths: Iterable[tuple[Outcome, str]], *, quarantined: bool) -> str | None:
        """The first recorded path that has no file: where a file was going when the daemon died.

        Paths that were emptied on purpose (pruned, requeued) are not among them.
        """
        recorded = list(paths)
        emptied = {path for outcome, path in recorded if outcome in (Outcome.PRUNED, Outcome.REQUEUED)}
        for outcome, path in recorded:
            fits = (outcome is Outcome.QUARANTINED) == quarantined and path not in emptied
            if fits and not os.path.lexists(self._roots[quarantined] / path):
                return path
        return None

    def move(self, path: Path, stamp: FileStamp, relative: str, *, quarantine: bool = False) -> Moved:
        """Move what was read at ``path`` to ``relative`` in the archive or the quarantine.

        A replay ends in the same state: what stands there already, and is the very inode, is ``MOVED``;
        anything else there is never overwritten, and the file stays as a new arrival. Its next reading
        finds it in the ledger, with no path unfilled, and gives it a path of its own as a duplicate.
        After the rename the moved inode is compared with ``stamp``, since the name may have been given to
        another file in between: such a one goes back. A writer that still holds the file open at that
        moment and writes later is not noticed.

        Args:
            path: the file in the drop folder.
            stamp: the file as it was read.
            relative: the path that was recorded.
            quarantine: which of the two roots.
        """
        target = self._roots[quarantine] / relative
        self._promised.discard((quarantine, relative))
        try:
            before = path.lstat()
            if _stamp(before) != stamp and not _is_same_folder(before, stamp):
                return Moved.CHANGED
            _make_parent(target)
            _rename_noreplace(path, target)
            after = target.lstat()
            if _is_what_was_read(after, stamp):
                return Moved.MOVED
            _put_back(target, path)
        except FileNotFoundError:
            return Moved.MOVED if _stands_at(target, stamp) else Moved.GONE
        except FileExistsError:
            return Moved.CHANGED
        except OSError as error:
            log.warning("cannot move %s to %s: %s", os.fsencode(path), target, error.strerror)
            return Moved.FAILED
        return Moved.CHANGED

    def sync(self) -> None:
        """Make all moves so far survive a power cut (see the module's docstring)."""
        descriptor = os.open(self._roots[False], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _libc.syncfs(descriptor) != 0:
                log.warning("cannot flush the archive: %s", os.strerror(ctypes.get_errno()))
        finally:
            os.close(descriptor)

    def _free_path(self, arrival: Arrival, source: SourceFile, folder: str, *, quarantine: bool) -> str:
        stem, suffix = _split(arrival.source_name.rsplit("/", 1)[-1])
        mark = source.sha256[:8] if source.sha256 else f"{source.stamp.inode:08x}"
        number = 0
        while True:
            count = f"-{number}" if number else ""
            relative = f"{folder}/{stem}.{mark}{count}{suffix}"
            promise = (quarantine, relative)
            if promise not in self._promised and not os.path.lexists(self._roots[quarantine] / relative):
                self._promised.add(promise)
                return relative
            number += 1


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix of a safe name, the stem cut to what a file name can hold beside mark and counter."""
    suffix = PurePath(name).suffix
    if len(suffix.encode()) > _SUFFIX_BYTES:
        suffix = ""
    room = _NAME_BYTES - _RESERVE_BYTES - len(suffix.encode())
    return name.removesuffix(suffix).encode()[:room].decode(errors="ignore"), suffix


def _check(key: str, folder: Path, drop: Path) -> None:
    """Create the folder where missing, and try a rename from the drop folder and the removal for real."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"{key} {folder}: cannot be created: {error.strerror}") from None
    probe = drop / f".weldnet-{os.getpid()}-probe"  # hidden: no intake; it lives for a moment
    target = folder / probe.name
    try:
        probe.touch()
        probe.rename(target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            mend = (
                f"must lie on the same file system and mount as drop_folder {drop}, for files move by rename"
            )
        else:
            mend = f"{error.strerror} on a rename from {drop}; give this user write permission to both"
        raise FolderError(f"{key} {folder}: {mend}") from None
    finally:
        for path in (probe, target):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _make_parent(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file where the folder should be: not the same as a taken path
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def _rename_noreplace(source: Path, target: Path) -> None:
    """Rename, and raise FileExistsError rather than overwrite."""
    paths = os.fsencode(source), os.fsencode(target)
    if _libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in _NO_RENAMEAT2:
        raise OSError(code, os.strerror(code), str(source))
    # One daemon alone writes below these folders (the drop folder's lock), so to look first is enough. A link
    # and an unlink would not be: between the two the name may be given to a new file, and that would be lost.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _put_back(target: Path, path: Path) -> None:
    """Return a wrongly moved file; where its name is taken again, under the next free one."""
    number = 0
    while True:
        name = path if number == 0 else path.with_name(f"{path.stem[:40]}-{number}{path.suffix[:16]}")
        try:
            return _rename_noreplace(target, name)
        except FileExistsError:
            number += 1


def _stamp(status: os.stat_result) -> FileStamp:
    return FileStamp(
        device=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )


def _is_same_folder(status: os.stat_result, stamp: FileStamp) -> bool:
    """A folder moves with whatever is being put into it: it holds nothing that was judged."""
    return stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) == (stamp.device, stamp.inode)


def _is_what_was_read(status: os.stat_result, stamp: FileStamp) -> bool:
    """As the stamp, but for ctime, which a rename sets."""
    same_inode = (status.st_dev, status.st_ino) == (stamp.device, stamp.inode)
    same_bytes = (status.st_size, status.st_mtime_ns) == (stamp.size, stamp.mtime_ns)
    return same_inode and (same_bytes or stat.S_ISDIR(status.st_mode))


def _stands_at(target: Path, stamp: FileStamp) -> bool:
    with contextlib.suppress(OSError):
        return _is_what_was_read(target.lstat(), stamp)
    return False
