"""A file of the drop folder, read once: its descriptor, its bytes and its stamp."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from inspector import folders
from inspector.errors import ImageError
from inspector.records import Arrival, FileStamp, SourceFile

MAX_FILE_BYTES: Final = 200_000_000  # an uncompressed RGB frame of MAX_PIXELS fits
_STATION_ERRNOS: Final = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ESTALE,  # from here on: NFS, SMB and FUSE while their server is away
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
)


class OpenedFile:
    """A file that was read once: its bytes, their hash, and the open descriptor that holds its inode.

    ``data`` may be set to ``b""`` after decoding, so that large files do not fill the memory.
    """

    def __init__(self, fd: int, data: bytes, stamp: FileStamp) -> None:
        self._fd = fd
        self.data = data
        self.source = SourceFile(stamp=stamp, sha256=hashlib.sha256(data).hexdigest())

    def stamp_now(self, path: Path, root: Path | None = None) -> FileStamp | None:
        """Return the file's present stamp if ``path`` still names it and its bytes are those that were read.

        A change of mode, owner or time changes only the stamp. After a write, or under another name, this is
        None. No link below ``root`` is followed; without a root, only the last name may not be a link.
        """
        try:
            before = os.fstat(self._fd)
            same = self._digest_now() == self.source.sha256
            stamp = FileStamp.of(os.fstat(self._fd))
            named = FileStamp.of(folders.status(path, root or path.parent))
            return stamp if same and FileStamp.of(before) == stamp == named else None
        except OSError:
            return None

    def content(self) -> bytes | None:
        """Return the bytes that were read: from memory, or from the file, which outlives its name while open.

        None if they are lost: they were not kept, and the file has been overwritten in place.
        """
        if self.data or self.source.stamp.size == 0:
            return self.data
        try:
            data = self._read_again()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == self.source.sha256 else None

    @property
    def is_of_another_account(self) -> bool:
        """Whether an account other than this process's own has the rights of an owner to the file."""
        return os.fstat(self._fd).st_uid != os.geteuid()

    def flush(self) -> None:
        """Flush the content to the disk.

        Raises:
            OSError: the disk is full or fails, or the file system cannot flush.
        """
        os.fsync(self._fd)

    def _digest_now(self) -> str:
        return hashlib.sha256(self._read_again()).hexdigest()

    def _read_again(self) -> bytes:
        with open(self._fd, "rb", closefd=False) as stream:
            stream.seek(0)
            return stream.read(self.source.stamp.size + 1)  # one more shows growth

    def close(self) -> None:
        """Close the descriptor; until then the inode number cannot be given to another file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A file on its way from the drop folder to the archive or the quarantine.

    Attributes:
        arrival: its name, and when it was seen.
        source: the file as it was read; without a hash if it could not be read.
        opened: holds its inode and its bytes until it has moved; None if it could not be opened.
    """

    arrival: Arrival
    source: SourceFile
    opened: OpenedFile | None

    @property
    def path(self) -> Path:
        """The file in the drop folder."""
        return self.arrival.path

    @property
    def key(self) -> tuple[str, str | None]:
        """The ledger's key of an image, within one station."""
        return self.arrival.source_name, self.source.sha256

    def close(self) -> None:
        """Close the descriptor, if there is one."""
        if self.opened:
            self.opened.close()


def read_source(path: Path, *, root: Path | None = None, max_bytes: int = MAX_FILE_BYTES) -> OpenedFile:
    """Open a regular file without following links or waiting, and read and hash all of it once.

    Args:
        path: the file.
        root: below it no link is followed, neither of a folder nor of the file; by default the file's folder.
        max_bytes: a larger file is refused unread.

    Raises:
        ImageError: ``not_a_file`` (FIFO, device, socket, directory, link), ``too_large``, ``changing``
            (retry: it grew or was written while it was read), ``unreadable`` (retry: permission or an
            input/output error), ``vanished`` (it was taken away, so there is nothing to quarantine).
        OSError: out of descriptors or memory, or a file server does not answer: a trouble of the station,
            which no file is blamed for.
    """
    try:
        with folders.parent(path, root or path.parent) as folder_fd:
            return _open_and_read(path.name, folder_fd, max_bytes)
    except FileNotFoundError:
        raise ImageError("vanished", "it was taken away before it was read") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # replaced by a link or a socket
            raise ImageError("not_a_file", "it is not a regular file") from None
        if error.errno in _STATION_ERRNOS:
            raise
        raise ImageError("unreadable", f"cannot be read: {error.strerror}", retry=True) from None


def unread_source(path: Path, root: Path | None = None) -> SourceFile:
    """Return the stamp of a file that :func:`read_source` refuses (FIFO, directory, too large).

    Args:
        path: the file.
        root: as for :func:`read_source`.

    Raises:
        ImageError: ``vanished``.
    """
    try:
        return SourceFile(stamp=FileStamp.of(folders.status(path, root or path.parent)), sha256=None)
    except OSError:
        raise ImageError("vanished", "it was taken away before it was read") from None


def _open_and_read(name: str, folder_fd: int, max_bytes: int) -> OpenedFile:
    # The status comes before opening, since opening a device may have an effect.
    _check_regular(os.stat(name, dir_fd=folder_fd, follow_symlinks=False))
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        status = os.fstat(fd)
        _check_regular(status)
        _check_bytes(status.st_size, max_bytes)
        return OpenedFile(fd, _read_once(fd, status), FileStamp.of(status))
    except BaseException:
        os.close(fd)
        raise


def _read_once(fd: int, before: os.stat_result) -> bytes:
    with open(fd, "rb", closefd=False) as stream:
        data = stream.read(before.st_size + 1)  # one more shows growth, and bounds a racing writer
    if len(data) != before.st_size or FileStamp.of(os.fstat(fd)) != FileStamp.of(before):
        raise ImageError("changing", "it is being written to", retry=True)
    return data


def _check_bytes(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ImageError("too_large", f"has {size} bytes; {max_bytes} are allowed")


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kinds = {
            stat.S_IFDIR: "a directory",
            stat.S_IFLNK: "a symbolic link",
            stat.S_IFIFO: "a FIFO",
            stat.S_IFSOCK: "a socket",
        }
        what = kinds.get(stat.S_IFMT(status.st_mode), "a device")
        raise ImageError("not_a_file", f"it is {what}, not a regular file")
