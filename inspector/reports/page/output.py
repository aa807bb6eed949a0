"""Files that a reader never sees half written: written beside their place, then renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from inspector.errors import StationError, UsageError


def replace_file(out: Path, write: Callable[[Path], object]) -> None:
    """Replace ``out`` by a file that ``write`` makes; a reader sees the old file or the new one.

    Raises:
        UsageError: the folder is missing, or ``out`` is one.
        StationError: the file cannot be written.
    """
    if not out.parent.is_dir():
        raise UsageError(f"{out}: there is no folder {out.parent}; make it or name another")
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; name a file in it, such as {out / 'report.html'}")
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    try:
        write(unfinished)
        unfinished.replace(out)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StationError(f"{out}: cannot be written: {error.strerror}") from None


def write_page(out: Path, page: str) -> None:
    """Replace ``out`` by a page.

    Raises:
        UsageError: the folder is missing.
        StationError: the file cannot be written.
    """
    replace_file(out, lambda file: file.write_text(page, encoding="utf-8"))
