"""Files that a reader sees whole: a page or picture is written beside its place, then renamed into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from inspector.errors import StationError, UsageError


def replace_file(out: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file and put it in the place ``out``; a reader sees the old one or the new one.

    Raises:
        UsageError: its folder is missing.
        StationError: it cannot be written.
    """
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it or name another")
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    try:
        write(unfinished)
        unfinished.replace(out)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StationError(f"--out {out}: cannot be written: {error.strerror}") from None


def write_page(out: Path, page: str) -> None:
    """Put a page in its place.

    Raises:
        UsageError: its folder is missing.
        StationError: it cannot be written.
    """
    replace_file(out, lambda file: file.write_text(page, encoding="utf-8"))
