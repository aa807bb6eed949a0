"""Files in a drop folder as the daemon takes them, for the tests of the archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from inspector.file_names import to_text
from inspector.imaging.source import TakenFile, read_source, unread_source
from inspector.records import Arrival, FileStamp, SourceFile

DAY = "2026-01-05"
SHA = "0123456789abcdef" * 4
STAMP = FileStamp(device=1, inode=0xABCDEF, size=3, mtime_ns=0, ctime_ns=0)


def arrival(path: Path) -> Arrival:
    """An arrival at the path."""
    return Arrival(path, to_text(PurePath(path.name)), 0, 0.0)


def stand_in(name: str, source: SourceFile | None = None) -> TakenFile:
    """A file of which only the name and the hash matter."""
    return TakenFile(arrival(Path("/drop") / name), source or SourceFile(STAMP, SHA), None)


def read(path: Path) -> SourceFile:
    """The file as the daemon reads it."""
    with read_source(path) as opened:
        return opened.source


def dropped(root: Path, name: str = "weld.png", content: bytes = b"pixels") -> TakenFile:
    """A file in the drop folder that was read and closed."""
    path = root / "drop" / name
    path.write_bytes(content)
    return TakenFile(arrival(path), read(path), None)


def unopened(path: Path) -> TakenFile:
    """A file that cannot be read, as the daemon takes it."""
    return TakenFile(arrival(path), unread_source(path), None)


@contextmanager
def opened(weld: TakenFile) -> Iterator[TakenFile]:
    """The file with an open descriptor, as the daemon keeps it until the move."""
    with read_source(weld.path) as file:
        yield TakenFile(weld.arrival, file.source, file)


def grow(path: Path) -> None:
    """Add a byte to the file."""
    with path.open("ab") as writer:
        writer.write(b"!")


def overwrite_in_secret(path: Path) -> None:
    """Write other bytes under the old size and mtime."""
    before = path.stat()
    path.write_bytes(b"PIXELS")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Put a new file under the old name."""
    new = path.with_name(".new")
    new.write_bytes(b"PIXELS")
    new.replace(path)
