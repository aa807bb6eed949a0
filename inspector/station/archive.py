"""Moves inspected files to archive/ and unreadable ones to quarantine/: whole, verified, never overwriting.

The ledger is written first, with the path that a file is about to get; the move follows the commit. So a
crash in between leaves the file in the drop folder and a row whose path is empty, which :meth:`unfilled`
finds at the next start. A file that was replaced or written to since it was read does not move.

A file that was judged is never lost to the next one of its name: where a camera has replaced, overwritten or
deleted it in the moment between its reading and its move, its bytes are written to the recorded path from
memory or from the descriptor that is still open (:meth:`Archive.deliver`), and what stands in the drop folder
now is a new arrival.

Where a power cut would matter: SQLite and PostgreSQL flush their commits themselves. A rename is atomic in a
journalling file system: after a power cut the file stands in one place or the other, and both replay. What
neither of them saves is the *content* of a file that its camera never flushed: the row would stand, and the
image be empty. So :meth:`Archive.flush` comes before each commit: the files of the batch and their folders,
and nothing else, for ``syncfs`` would wait for whatever other programs write to that disk.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath
from typing import Final

from inspector.errors import ArchiveUnavailable, FolderError
from inspector.imaging.source import OpenedFile
from inspector.records import Arrival, FileStamp, Outcome, SourceFile, Verdict
from inspector.station import renames

log = logging.getLogger("weldnet")

_NAME_BYTES: Final = 255  # the limit of a file name on Linux file systems
_SUFFIX_BYTES: Final = 16  # a longer "suffix" is part of the name
_RESERVE_BYTES: Final = 24  # for '.', 8 to 16 hex digits and the counter
_TOUCHES: Final = 5  # a copy that sets owner, mode and times after its close touches a file three times
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_REFUSED: Final = (*_FULL, errno.EIO, errno.EROFS)  # other errors are those of one file, or of a file server


class Moved(StrEnum):
    """What became of a file that was to move."""

    MOVED = "moved"  # it stands at its recorded path
    RESCUED = "rescued"  # its bytes do; what stands in the drop folder now, if anything, is a new arrival
    CHANGED = "changed"  # other bytes or another file stood there: a new arrival
    TAKEN = "taken"  # something stands at the recorded path that is not it: a new arrival
    GONE = "gone"  # somebody took it away
    FAILED = "failed"  # the file system refused: it stands where it stood


class Archive:
    """The two folders that files of one drop folder end in.

    Relative paths, as the ledger records them: ``<local day>/<verdict>/<stem>.<first 8 of sha256><suffix>``,
    for quarantine with the reason in the verdict's place and, without bytes to hash, the inode's number. What
    stood in a sub-folder of the drop folder stands in a sub-folder of that name below the verdict.

    Args:
        drop: the drop folder; must exist.
        archive: created where missing.
        quarantine: created where missing.

    Raises:
        FolderError: a folder is missing, not writable, or not on the drop folder's file system (found by a
            real rename, for two mounts of one file system look alike to ``stat``).
    """

    def __init__(self, drop: Path, archive: Path, quarantine: Path) -> None:
        self._drop = drop
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
        latest = {path: outcome for outcome, path in paths}  # a path may be emptied, and given again
        for path, outcome in latest.items():
            emptied = outcome in (Outcome.PRUNED, Outcome.REQUEUED)
            fits = (outcome is Outcome.QUARANTINED) == quarantined and not emptied
            if fits and not os.path.lexists(self._roots[quarantined] / path):
                return path
        return None

    def give_back(self, relative: str, path: Path) -> str | None:
        """Move a file from the quarantine to ``path`` in the drop folder; what was in its way, or None."""
        try:
            renames.noreplace(self._roots[True] / relative, path)
        except OSError as error:
            return f"{path}: {error.strerror}"
        return None

    def deliver(
        self, path: Path, source: SourceFile, file: OpenedFile | None, relative: str, *, quarantine: bool
    ) -> Moved:
        """Bring a recorded file to its recorded path, in spite of what was done to it since it was read.

        Args:
            path: the file in the drop folder.
            source: the file as it was read.
            file: the same, still open; None where it never was.
            relative: the path that was recorded.
            quarantine: which of the two roots.

        Raises:
            ArchiveUnavailable: no file can be moved now; this one stands where it stood.
        """
        moved, stamp = Moved.CHANGED, source.stamp
        for _ in range(_TOUCHES):
            moved = self.move(path, stamp, relative, quarantine=quarantine)
            if moved is not Moved.CHANGED or file is None or (now := file.stamp_now(path)) is None:
                break
            stamp = now
        if moved in (Moved.CHANGED, Moved.GONE) and file and (content := file.content()) is not None:
            moved = self._rescue(content, source.stamp.mtime_ns, self._roots[quarantine], relative)
        if moved is Moved.FAILED:
            self.require()
        return moved

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
        root = self._roots[quarantine]
        target = root / relative
        self._promised.discard((quarantine, relative))
        try:
            before = path.lstat()
            if FileStamp.of(before) != stamp and not _is_same_folder(before, stamp):
                return Moved.CHANGED
            renames.make_parent(target, root)
            renames.noreplace(path, target)
            after = target.lstat()
            if _is_what_was_read(after, stamp):
                return Moved.MOVED
            renames.put_back(target, path)
        except OSError as error:
            return self._refused(error, path, stamp, root, target)
        return Moved.CHANGED

    def _refused(self, error: OSError, path: Path, stamp: FileStamp, root: Path, target: Path) -> Moved:
        if isinstance(error, FileExistsError):
            return Moved.TAKEN
        if isinstance(error, FileNotFoundError) and _stands_at(target, stamp):
            return Moved.MOVED
        if isinstance(error, FileNotFoundError) and self._drop.is_dir() and root.is_dir():
            return Moved.GONE
        log.warning("cannot move %s to %s: %s", os.fsencode(path), target, error.strerror)
        return Moved.FAILED

    def require(self) -> None:
        """Find out by a real rename whether files can be moved at all, or only some cannot.

        Raises:
            ArchiveUnavailable: the disk is full, read-only or failing, or a folder is not there.
        """
        for folder in self._roots.values():
            if error := renames.trial(folder, self._drop):
                raise ArchiveUnavailable(f"no file moves from {self._drop} to {folder}: {error.strerror}")

    def flush(self, files: Sequence[tuple[Path, OpenedFile | None]]) -> None:
        """Make the content of what is about to be recorded, and its names, survive a power cut.

        Args:
            files: path in the drop folder, and the file as it was opened.

        Raises:
            ArchiveUnavailable: the disk cannot take it: nothing is to be recorded yet.
        """
        folders = {path.parent for path, _ in files}
        flushes = [file.flush for _, file in files if file] + [
            partial(renames.flush_folder, it) for it in folders
        ]
        for flush in flushes:
            try:
                flush()
            except OSError as error:
                if error.errno in _REFUSED or not self._drop.is_dir():
                    raise ArchiveUnavailable(f"{self._drop} cannot be flushed: {error.strerror}") from None

    def _rescue(self, content: bytes, mtime_ns: int, root: Path, relative: str) -> Moved:
        """Write a judged file's bytes to its recorded path, whole or not at all."""
        half = root / ".rescue"  # hidden: no arrival; one that a crash left is reused
        target = root / relative
        try:
            renames.make_parent(target, root)
            half.write_bytes(content)
            os.utime(half, ns=(mtime_ns, mtime_ns))
            with half.open("rb") as stream:
                os.fsync(stream.fileno())
            renames.noreplace(half, target)
        except FileExistsError:
            return Moved.TAKEN
        except OSError as error:
            log.warning("cannot write %s: %s", target, error.strerror)
            return Moved.FAILED
        return Moved.RESCUED

    def _free_path(self, arrival: Arrival, source: SourceFile, folder: str, *, quarantine: bool) -> str:
        *folders, name = arrival.source_name.split("/")
        folder = "/".join([folder, *(_cut(name, _NAME_BYTES - _RESERVE_BYTES) for name in folders)])
        stem, suffix = _split(name)
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
    return _cut(name.removesuffix(suffix), room), suffix


def _cut(name: str, room: int) -> str:
    """A name in so many bytes of UTF-8."""
    return name.encode()[:room].decode(errors="ignore")


def _check(key: str, folder: Path, drop: Path) -> None:
    """Create the folder where missing, and try a rename from the drop folder for real."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"{key} {folder}: cannot be created: {error.strerror}") from None
    refused = renames.trial(folder, drop)
    if refused is None or refused.errno in _FULL:  # a full disk is no mistake in the settings, and has an end
        return
    if refused.errno == errno.EXDEV:
        mend = f"must lie on the same file system and mount as drop_folder {drop}, for files move by rename"
    else:
        mend = f"{refused.strerror} on a rename from {drop}; give this user write permission to both"
    raise FolderError(f"{key} {folder}: {mend}")


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
