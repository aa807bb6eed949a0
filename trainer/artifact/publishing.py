"""A file that appears whole and proved, or not at all: a process that is killed leaves nothing behind."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable
from pathlib import Path


def publish(content: bytes, out: Path, prove: Callable[[Path], None]) -> None:
    """Write a file, prove it as it is on the disk, and move it to ``out`` in one step.

    The file has no name until it is proved, so there is nothing to remove after a kill. On file systems
    without nameless files (NFS, SMB) it has a temporary name; the next call removes it if its process has
    ended.

    Args:
        content: of the file.
        out: its name; missing folders are made.
        prove: raises if the file at a path is not right.

    Raises:
        OSError: it cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    _remove_left_files(out)
    folder = os.open(out.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        descriptor, named = _open(temporary)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
            open_file = Path(f"/proc/self/fd/{descriptor}")
            prove(temporary if named else open_file)
            if not named:  # a folder's descriptor makes Python follow the link to the open file
                os.link(open_file, temporary, src_dir_fd=folder, follow_symlinks=True)
        temporary.replace(out)
        os.fsync(folder)
    finally:
        os.close(folder)
        temporary.unlink(missing_ok=True)


def _remove_left_files(out: Path) -> None:
    """Remove the temporary files of processes that were killed."""
    for path in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
        process = path.name.removesuffix(".tmp").rpartition(".")[2]
        if process.isdecimal() and not Path("/proc", process).exists():
            path.unlink(missing_ok=True)


def _open(temporary: Path) -> tuple[int, bool]:
    """A new file's descriptor, and whether it has the temporary name."""
    with contextlib.suppress(OSError):
        return os.open(temporary.parent, os.O_TMPFILE | os.O_RDWR, 0o666), False
    return os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o666), True
