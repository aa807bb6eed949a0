"""Moves inspected files to archive/ and unreadable ones to quarantine/: whole, verified, never overwriting.

The ledger is written first, with the path that a file is about to get. The file moves after the commit. A
crash in between leaves the file in the drop folder and a row whose path has no file;
:meth:`Archive.unfilled_path` finds that path at the next start. A file that was replaced or written to after
it was read does not move.

A judged file is never lost to the next one of its name. If a camera replaces, overwrites or deletes the file
between its reading and its move, :meth:`Archive.deliver` writes its bytes to the recorded path, from memory
or from the descriptor that is still open. The file that is in the drop folder by then is a new arrival.
What another account wrote ends in the archive as a copy of the station's own, see
:mod:`inspector.station.own_copies`.

A power cut loses nothing either. SQLite and PostgreSQL flush their commits themselves. A rename is atomic in
a journalling file system: after the power cut the file is in one place or the other, and both are replayed.
That leaves the *content* of a file that its camera never flushed: its row would survive, and its image would
be empty. So :meth:`Archive.flush` flushes the files of a batch and their folders before each commit. It
flushes nothing else, since ``syncfs`` would wait for all that other programs write to that disk.

The module is long, because all moves of a file are in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath
from typing import Final

from inspector import file_names, folders
from inspector.errors import ArchiveUnavailable, FolderError
from inspector.imaging.source import TakenFile
from inspector.records import FileStamp, Outcome, Place, RecordedFile
from inspector.station import renames
from inspector.station.own_copies import OwnCopies

log = logging.getLogger("weldnet")

_MAX_SUFFIX_BYTES: Final = 16  # a longer "suffix" is part of the name
# A name keeps 24 bytes free for '.', 8 to 16 hex digits and the counter.
_MAX_STEM_BYTES: Final = file_names.MAX_NAME_BYTES - 24
_MAX_TOUCHES: Final = 5  # a copy that sets owner, mode and times after its close touches a file three times
_INODE_BITS: Final = (1 << 64) - 1
_DISK_FULL_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT)
# Other errors are those of one file, or of a file server.
_DISK_ERRNOS: Final = (*_DISK_FULL_ERRNOS, errno.EIO, errno.EROFS)


class Moved(StrEnum):
    """The result of a move."""

    MOVED = "moved"  # the file is at its recorded path
    RESCUED = "rescued"  # its bytes are; a file that is in the drop folder now is a new arrival
    CHANGED = "changed"  # the drop folder has other bytes or another file: a new arrival
    TAKEN = "taken"  # another file is at the recorded path; this one stays as a new arrival
    GONE = "gone"  # the file was taken away
    FAILED = "failed"  # the file system refused; the file is where it was


class Archive:
    """The two folders that files of one drop folder end in.

    The ledger records relative paths: ``<local day>/<verdict>/<stem>.<first 8 of sha256><suffix>``. In the
    quarantine the reason replaces the verdict, and the inode's number replaces the hash of a file without
    bytes. A file from a sub-folder of the drop folder gets a sub-folder of the same name below the verdict.

    Args:
        drop: the drop folder; must exist.
        archive: created if it is missing.
        quarantine: created if it is missing.

    Raises:
        FolderError: a folder is missing, not writable, or not on the drop folder's file system. A real rename
            finds that out, since two mounts of one file system look alike to ``stat``.
    """

    def __init__(self, drop: Path, archive: Path, quarantine: Path) -> None:
        self._drop = drop
        self._folders = {Place.ARCHIVE: archive, Place.QUARANTINE: quarantine}
        self._promised: set[tuple[Place, str]] = set()
        self._copies = OwnCopies(self._folders)
        if not drop.is_dir():
            raise FolderError(
                f"drop_folder {drop}: there is no such folder; create it, or correct the setting"
            )
        for key, folder in (("archive_folder", archive), ("quarantine_folder", quarantine)):
            _prepare_folder(key, folder, drop)

    def locate(self, place: Place, path: str) -> Path:
        """Return the whole path of a path as the ledger records it."""
        return self._folders[place] / path

    def free_path(self, taken: TakenFile, place: Place, folder: str) -> str:
        """Find a free path for a taken file, and reserve it until the file moves.

        Args:
            taken: the file.
            place: which of the two folders.
            folder: the sub-folder: local day, and verdict or reason.

        Returns:
            The path as the ledger records it.
        """
        *cameras, name = taken.arrival.source_name.split("/")
        folder = "/".join([folder, *(file_names.shorten(camera, _MAX_STEM_BYTES) for camera in cameras)])
        stem, suffix = _split(name)
        source = taken.source
        mark = source.sha256[:8] if source.sha256 else f"{source.stamp.inode:08x}"
        number = 0
        while True:
            count = f"-{number}" if number else ""
            path = f"{folder}/{stem}.{mark}{count}{suffix}"
            if (place, path) not in self._promised and not os.path.lexists(self._folders[place] / path):
                self._promised.add((place, path))
                return path
            number += 1

    def unfilled_path(self, place: Place, paths: Iterable[tuple[Outcome, str]]) -> str | None:
        """Find the first recorded path that has no file: the file was on its way there when the daemon died.

        Paths that were emptied on purpose (pruned, requeued) do not count.
        """
        latest = {path: outcome for outcome, path in paths}  # a path may be emptied, and used again
        for path, outcome in latest.items():
            if outcome.place is place and not os.path.lexists(self._folders[place] / path):
                return path
        return None

    def give_back(self, path: str, target: Path) -> str | None:
        """Move a file from the quarantine to ``target`` in the drop folder; return why it stays, or None."""
        try:
            with folders.parent(target, self._drop) as folder_fd:
                renames.into(folder_fd, target.name, self._folders[Place.QUARANTINE] / path)
        except OSError as error:
            return f"{target}: {error.strerror}"
        return None

    def deliver(self, taken: TakenFile, place: Place, path: str) -> Moved:
        """Bring a recorded file to its recorded path, in spite of what was done to it since it was read.

        A replay ends in the same state: if the same inode is there already, the file is ``MOVED``. Any other
        file there is never overwritten, and this file stays as a new arrival. Its next reading finds it in
        the ledger, with no unfilled path, and gives it a path of its own as a duplicate.

        Args:
            taken: the file.
            place: which of the two folders.
            path: the recorded path in it.

        Raises:
            ArchiveUnavailable: no file can be moved now; this one is where it was.
        """
        self._promised.discard((place, path))
        root, opened = self._folders[place], taken.opened
        target = root / path
        moved, stamp = Moved.CHANGED, taken.source.stamp
        for _ in range(_MAX_TOUCHES):
            moved = self._move(taken.path, stamp, root, target)
            if moved is not Moved.CHANGED or opened is None:
                break
            if (now := opened.stamp_now(taken.path, self._drop)) is None:
                break
            stamp = now
        if opened and self._copies.has(place, path, taken.source.sha256):
            moved = self._use_copy(place, path, moved)
        elif moved in (Moved.CHANGED, Moved.GONE) and opened and (content := opened.content()) is not None:
            moved = _rescue(content, taken.source.stamp.mtime_ns, root, target)
        if moved is Moved.FAILED:
            self.require_moves()
        return moved

    def _use_copy(self, place: Place, path: str, moved: Moved) -> Moved:
        """Bring a copy to its path, whether or not the file has moved there."""
        try:
            if moved is Moved.MOVED:
                self._copies.replace(place, path)
            elif moved in (Moved.CHANGED, Moved.GONE):
                self._copies.fill(place, path)
                return Moved.RESCUED
        except FileExistsError:
            moved = Moved.TAKEN
        except OSError as error:
            log.warning("cannot write %s: %s", self._folders[place] / path, error.strerror)
            return Moved.FAILED
        if moved is Moved.TAKEN:
            self._copies.remove(place, path)
        return moved

    def _move(self, path: Path, stamp: FileStamp, root: Path, target: Path) -> Moved:
        """Move the file that was read at ``path`` to ``target``.

        After the rename the moved inode is compared with ``stamp``, since the name may belong to another file
        by then. Such a file goes back. A writer that has the file open at that moment and writes later is not
        noticed.
        """
        try:
            with folders.parent(path, self._drop) as folder_fd:
                before = os.stat(path.name, dir_fd=folder_fd, follow_symlinks=False)
                if FileStamp.of(before) == stamp or _is_same_folder(before, stamp):
                    renames.make_parent(target, root)
                    renames.out_of(folder_fd, path.name, target)
                    if _is_what_was_read(target.lstat(), stamp):
                        return Moved.MOVED
                    renames.put_back(target, folder_fd, path.name)
        except FileExistsError:
            return Moved.TAKEN
        except FileNotFoundError as error:
            if _is_at(target, stamp):
                return Moved.MOVED
            is_gone = self._drop.is_dir() and root.is_dir()
            return Moved.GONE if is_gone else _failed(path, target, error)
        except OSError as error:
            return _failed(path, target, error)
        return Moved.CHANGED

    def require_moves(self) -> None:
        """Try a real rename, to distinguish an outage from the trouble of a single file.

        Raises:
            ArchiveUnavailable: the disk is full, read-only or failing, or a folder is not there.
        """
        for folder in self._folders.values():
            if error := renames.try_rename(folder, self._drop):
                raise ArchiveUnavailable(f"no file moves from {self._drop} to {folder}: {error.strerror}")

    def prepare(self, moves: Sequence[tuple[TakenFile, Place, str]]) -> None:
        """Copy or flush the files that are about to be recorded with these places and paths.

        Raises:
            ArchiveUnavailable: the disk cannot take it; nothing must be recorded yet.
        """
        self.flush([taken for taken, place, path in moves if not self._is_copied(taken, place, path)])

    def _is_copied(self, taken: TakenFile, place: Place, path: str) -> bool:
        opened = taken.opened
        if opened is None or not opened.is_of_another_account or (content := opened.content()) is None:
            return False
        try:
            self._copies.make(place, path, content, taken.source)
        except OSError as error:
            if error.errno in _DISK_ERRNOS or not self._folders[place].is_dir():
                raise ArchiveUnavailable(
                    f"{self._folders[place]} takes no copy of {taken.path}: {error.strerror}"
                ) from None
            log.warning("cannot copy %s: %s", os.fsencode(taken.path), error.strerror)
            return False
        return True

    def copies_left(self) -> list[tuple[Place, str]]:
        """List the places and paths for which there are copies: a crash has interrupted these moves."""
        return list(self._copies.left())

    def finish(self, place: Place, path: str, recorded: RecordedFile | None) -> Moved:
        """Finish a recorded move that was interrupted, if that is possible now.

        As long as the recorded file is in the drop folder, the daemon reads it again, and moves it then.

        Args:
            place: see :meth:`copies_left`.
            path: the same.
            recorded: what the ledger says of the path; None if it has no row.

        Returns:
            ``FAILED`` if it must be tried again. ``GONE`` if nothing can ever be at the path: the thing has
            no bytes that could be copied, and is not in the drop folder any more. Else ``MOVED``.
        """
        try:
            if recorded is not None and not os.path.lexists(self._folders[place] / path):
                if self._is_waiting(recorded):
                    return Moved.FAILED
                if recorded.sha256 is None:
                    return Moved.GONE
            if recorded is not None and self._copies.has(place, path, recorded.sha256):
                self._place_copy(place, path, recorded)
            else:
                self._copies.remove(place, path)
        except OSError as error:
            log.warning("cannot write %s: %s", self._folders[place] / path, error.strerror)
            return Moved.FAILED
        return Moved.MOVED

    def _is_waiting(self, recorded: RecordedFile) -> bool:
        """Whether the recorded file is still in the drop folder, by its inode; if unknown, it is."""
        try:
            found = folders.status(self._drop / file_names.to_path(recorded.source_name), self._drop)
        except FileNotFoundError:
            return not self._drop.is_dir()
        except OSError:
            return True
        return _is_inode(found.st_ino, recorded)

    def _place_copy(self, place: Place, path: str, recorded: RecordedFile) -> None:
        """Put a copy at its path, in the place of the moved file if that is there already."""
        target = self._folders[place] / path
        if os.path.lexists(target):
            if _is_inode(target.lstat().st_ino, recorded) or _digest(target) == recorded.sha256:
                self._copies.replace(place, path)
                return
            source = self._drop / file_names.to_path(recorded.source_name)
            with folders.parent(source, self._drop) as folder_fd:  # a crash kept it from going back
                renames.put_back(target, folder_fd, source.name)
        self._copies.fill(place, path)

    def flush(self, taken: Sequence[TakenFile]) -> None:
        """Flush the content and the names of files that are about to be recorded, against a power cut.

        Raises:
            ArchiveUnavailable: the disk cannot take it; nothing must be recorded yet.
        """
        flushes: list[Callable[[], None]] = [file.opened.flush for file in taken if file.opened]
        one_of_each = {file.path.parent: file.path for file in taken}.values()
        flushes += [partial(self._flush_folder_of, path) for path in one_of_each]
        for flush in flushes:
            try:
                flush()
            except OSError as error:
                if error.errno in _DISK_ERRNOS or not self._drop.is_dir():
                    raise ArchiveUnavailable(f"{self._drop} cannot be flushed: {error.strerror}") from None

    def _flush_folder_of(self, path: Path) -> None:
        with folders.parent(path, self._drop) as folder_fd:
            os.fsync(folder_fd)


def _failed(path: Path, target: Path, error: OSError) -> Moved:
    log.warning("cannot move %s to %s: %s", os.fsencode(path), target, error.strerror)
    return Moved.FAILED


def _rescue(content: bytes, mtime_ns: int, root: Path, target: Path) -> Moved:
    """Write a judged file's bytes to its recorded path, whole or not at all."""
    half = root / ".rescue"  # hidden, so it is no arrival; a crash may leave one, which is overwritten
    try:
        renames.make_parent(target, root)
        half.write_bytes(content)
        os.utime(half, ns=(mtime_ns, mtime_ns))
        with half.open("rb") as stream:
            os.fsync(stream.fileno())
        with folders.parent(half, root) as folder_fd:
            renames.out_of(folder_fd, half.name, target)
        with contextlib.suppress(OSError), folders.parent(target, root) as folder_fd:
            os.fsync(folder_fd)  # unlike a move, a rescue cannot be repeated after a power cut
    except FileExistsError:
        return Moved.TAKEN
    except OSError as error:
        log.warning("cannot write %s: %s", target, error.strerror)
        return Moved.FAILED
    return Moved.RESCUED


def _split(name: str) -> tuple[str, str]:
    """Split a safe name into stem and suffix, the stem cut so that hash and counter fit in a file name."""
    suffix = PurePath(name).suffix
    if len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        suffix = ""
    return file_names.shorten(name.removesuffix(suffix), _MAX_STEM_BYTES - len(suffix.encode())), suffix


def _prepare_folder(key: str, folder: Path, drop: Path) -> None:
    """Create the folder if it is missing, and try a real rename from the drop folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"{key} {folder}: cannot be created: {error.strerror}; name another") from None
    refused = renames.try_rename(folder, drop)
    if refused is None or refused.errno in _DISK_FULL_ERRNOS:  # a full disk is an outage, not a wrong setting
        return
    if refused.errno == errno.EXDEV:
        fix = f"must be on the same file system and mount as drop_folder {drop}, since files move by rename"
    else:
        fix = f"{refused.strerror} on a rename from {drop}; give this user write permission to both"
    raise FolderError(f"{key} {folder}: {fix}")


def _is_same_folder(status: os.stat_result, stamp: FileStamp) -> bool:
    """Whether this is the folder that was seen; files may have been added, since nothing in it is judged."""
    return stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) == (stamp.device, stamp.inode)


def _is_what_was_read(status: os.stat_result, stamp: FileStamp) -> bool:
    """Whether inode, size and mtime are as read; a rename changes only ctime."""
    same_inode = (status.st_dev, status.st_ino) == (stamp.device, stamp.inode)
    same_bytes = (status.st_size, status.st_mtime_ns) == (stamp.size, stamp.mtime_ns)
    return same_inode and (same_bytes or stat.S_ISDIR(status.st_mode))


def _is_inode(inode: int, recorded: RecordedFile) -> bool:
    return inode & _INODE_BITS == recorded.inode & _INODE_BITS


def _digest(path: Path) -> str | None:
    """Return the hash of a regular file's bytes; None for anything else."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(path.lstat().st_mode) else None


def _is_at(target: Path, stamp: FileStamp) -> bool:
    with contextlib.suppress(OSError):
        return _is_what_was_read(target.lstat(), stamp)
    return False
