"""The one walk over archive and quarantine, for all commands that compare the disk with the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from inspector.ledger import database


def walk(
    root: Path, known: Callable[[list[str]], set[str]], *, below: Path | None = None
) -> Iterator[tuple[Path, dict[str, os.DirEntry[str]]]]:
    """Yield each folder from ``root`` on with its files, some at a time, by the paths that rows give them.

    Hidden names are the daemon's own (journal, locks), and no arrival has one. A link is never followed. A
    folder that the ledger knows is a quarantined one: it counts as one file, and what is in it came with it.

    Args:
        root: where to begin; nothing is yielded if it does not exist.
        known: which of some paths the ledger knows.
        below: the archive or the quarantine folder that paths count from; by default ``root``.
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
    """Whether a path is UTF-8; the archive gives no other names, and the ledger cannot be asked for them."""
    return path.encode(errors="ignore").decode() == path
