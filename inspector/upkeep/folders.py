"""Walk over archive and quarantine, for the commands that compare the disk with the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from inspector.ledger import database


def walk(
    root: Path, known: Callable[[list[str]], set[str]], *, below: Path | None = None
) -> Iterator[tuple[Path, dict[str, os.DirEntry[str]]]]:
    """Yield ``root`` and each folder in it with some of its files at a time, by their paths in rows.

    Hidden names are the daemon's own (journal, locks), and no arrival has one. Links are not followed. A
    folder that the ledger knows is a quarantined one: it counts as one file, together with its content.

    Args:
        root: the first folder; if it does not exist, nothing is yielded.
        known: returns those of some paths that the ledger knows.
        below: the archive or quarantine folder that paths are relative to; by default ``root``.
    """
    origin, folders = below or root, [root] if root.is_dir() else []
    while folders:
        here = folders.pop()
        inside: list[Path] = []
        with os.scandir(here) as entries:
            visible = (entry for entry in entries if not entry.name.startswith("."))
            for batch in database.batches(visible):
                paths = {str(Path(entry.path).relative_to(origin)): entry for entry in batch}
                directories = [path for path, entry in paths.items() if entry.is_dir(follow_symlinks=False)]
                opened = set(directories) - known(directories) if directories else set()
                inside += [origin / path for path in opened]
                yield here, {path: entry for path, entry in paths.items() if path not in opened}
        folders += sorted(inside, reverse=True)  # the oldest day comes first


def is_text(path: str) -> bool:
    """Return whether a path is UTF-8; the archive uses no other names, and queries cannot hold them."""
    return path.encode(errors="ignore").decode() == path
