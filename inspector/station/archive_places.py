"""Where archived images are read: the archive folder, a mount of it, or a copy behind a URL of fsspec."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inspector.errors import FolderError, ImageError, UsageError
from inspector.imaging.source import read_source


class ArchivePlace(Protocol):
    """A place with the station's archive; paths are relative to it, as in the ledger."""

    def read(self, path: str, max_bytes: int) -> tuple[bytes, str]:
        """Return a file's bytes and their SHA-256 in hex digits.

        Raises:
            ImageError: ``vanished``, ``too_large``, ``unreadable`` or another reason of
                :func:`inspector.imaging.source.read_source`.
            OSError: the place does not answer, which no image is blamed for.
        """

    def has(self, path: str) -> bool:
        """Whether there is a file."""

    def require(self) -> None:
        """Refuse to call images missing if it is the whole archive that is missing.

        Raises:
            FolderError: it is not there, or empty.
        """


@dataclass(frozen=True, slots=True)
class ArchiveFolder:
    """A folder; no link in it is followed."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, path: str, max_bytes: int) -> tuple[bytes, str]:
        """Read and hash a file once."""
        with read_source(self.folder / path, root=self.folder, max_bytes=max_bytes) as file:
            return file.data, str(file.source.sha256)

    def has(self, path: str) -> bool:
        """Whether the name exists, also as a link."""
        return os.path.lexists(self.folder / path)

    def require(self) -> None:
        """Refuse a folder that is not there or empty."""
        try:
            is_empty = next(self.folder.iterdir(), None) is None
        except OSError as error:
            raise FolderError(f"{self}: {error.strerror}; mount or correct archive_folder") from None
        if is_empty:
            raise FolderError(f"{self}: is empty, and the database has images in it; is its disk mounted?")


@dataclass(frozen=True, slots=True)
class ArchiveUrl:
    """A copy of the archive behind a URL such as ``s3://bucket/archive``; its package has to be installed."""

    url: str

    def __str__(self) -> str:
        return self.url

    def read(self, path: str, max_bytes: int) -> tuple[bytes, str]:
        """Read and hash a file once."""
        files, root = _file_system(self.url)
        try:
            size = files.size(f"{root}/{path}")
            if size > max_bytes:
                raise ImageError("too_large", f"has {size} bytes; {max_bytes} are allowed")
            data: bytes = files.cat_file(f"{root}/{path}")
        except FileNotFoundError:
            raise ImageError("vanished", "no file is there") from None
        except PermissionError as error:
            raise ImageError("unreadable", f"cannot be read: {error}", retry=True) from None
        return data, hashlib.sha256(data).hexdigest()

    def has(self, path: str) -> bool:
        """Whether there is a file."""
        files, root = _file_system(self.url)
        return bool(files.exists(f"{root}/{path}"))

    def require(self) -> None:
        """Refuse a place that does not answer, is not there or empty."""
        files, root = _file_system(self.url)
        try:
            is_empty = not files.ls(root, detail=False)
        except OSError as error:
            raise FolderError(f"{self}: {error}; correct --images") from None
        if is_empty:
            raise FolderError(f"{self}: is empty, and the database has images in it; correct --images")


def place_of(text: str) -> ArchivePlace:
    """Return the place that a person names: a folder, or a URL.

    Raises:
        UsageError: the URL names a protocol that fsspec does not know, or that needs another package.
    """
    if "://" not in text:
        return ArchiveFolder(Path(text).absolute())
    try:
        _file_system(text)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{text}: {error}") from None
    return ArchiveUrl(text.rstrip("/"))


def _file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system, which it keeps for the next call, and the path in it."""
    from fsspec.core import url_to_fs  # noqa: PLC0415 - the daemon reads folders only

    files, root = url_to_fs(url)
    return files, root
