"""Copies of judged files that another account wrote: the station's own, made before the rows are committed.

A rename leaves a file with the account that wrote it. That account cannot enter the archive, but it may still
have the file open, or have another name for it (a hard link), and could change the judged image. So the
station copies the bytes that it judged, and the copy takes the file's place as soon as the file has moved.

A copy also fills its path if the file never moves: the camera may remove or replace it between the commit and
the move, also while the daemon is dead. At a start the copies tell which moves a crash interrupted. A copy
without a row is removed, since its file is still in the drop folder, and is judged again.

The copies are in a hidden folder of the archive and of the quarantine, each at the path that its file is
about to get. A file of the station's own account is not copied: no copy could be safer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from inspector import folders
from inspector.records import Place, SourceFile
from inspector.station import renames

_FOLDER: Final = ".own"  # hidden: what is in it is neither an arrival nor old enough to be pruned


class OwnCopies:
    """The copies of files that are about to move.

    Args:
        roots: the archive and the quarantine folder.
    """

    def __init__(self, roots: Mapping[Place, Path]) -> None:
        self._roots = roots
        self._made: dict[tuple[Place, str], str] = {}  # hashes of those that this process made

    def make(self, place: Place, path: str, content: bytes, source: SourceFile) -> None:
        """Write a copy of a file with its time, and flush it to the disk: whole, or not at all.

        Raises:
            OSError: the disk is full or fails.
        """
        copy = self._copy(place, path)
        renames.make_parent(copy, self._roots[place])
        try:
            with copy.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.utime(stream.fileno(), ns=(source.stamp.mtime_ns, source.stamp.mtime_ns))
                os.fsync(stream.fileno())
            with folders.parent(copy, self._roots[place]) as folder_fd:
                os.fsync(folder_fd)
        except OSError:
            copy.unlink(missing_ok=True)
            raise
        self._made[place, path] = source.sha256 or ""

    def has(self, place: Place, path: str, sha256: str | None) -> bool:
        """Whether there is a whole copy for a path, of a file with this hash."""
        if (place, path) in self._made:
            return self._made[place, path] == sha256
        try:
            content = self._copy(place, path).read_bytes()
        except OSError:
            return False
        return hashlib.sha256(content).hexdigest() == sha256

    def replace(self, place: Place, path: str) -> None:
        """Put a copy in the place of the file that has moved to the path, in one step."""
        self._copy(place, path).replace(self._roots[place] / path)
        self._made.pop((place, path), None)

    def fill(self, place: Place, path: str) -> None:
        """Put a copy at the path, to which no file has moved; raise FileExistsError if there is one."""
        target, copy = self._roots[place] / path, self._copy(place, path)
        renames.make_parent(target, self._roots[place])
        with folders.parent(copy, self._roots[place]) as folder_fd:
            renames.out_of(folder_fd, copy.name, target)
        self._made.pop((place, path), None)

    def remove(self, place: Place, path: str) -> None:
        """Remove a copy, if there is one."""
        self._made.pop((place, path), None)
        with contextlib.suppress(OSError):
            self._copy(place, path).unlink(missing_ok=True)

    def left(self) -> Iterator[tuple[Place, str]]:
        """List the copies that are there; if there are none, remove the empty folders that were theirs."""
        for place, root in self._roots.items():
            folder = root / _FOLDER
            files = [path for path in folder.rglob("*") if path.is_file()]
            yield from ((place, str(path.relative_to(folder))) for path in files)
            if not files:
                shutil.rmtree(folder, ignore_errors=True)

    def _copy(self, place: Place, path: str) -> Path:
        return self._roots[place] / _FOLDER / path
