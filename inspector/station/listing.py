"""What in a drop folder is intake, by name and kind; and what waits there right now, for people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inspector.errors import FolderError

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def has_intake_name(name: str) -> bool:
    """Hidden and temporary names are no intake.

    Args:
        name: relative to the drop folder; a sub-folder's own name has been looked at before.
    """
    last = name.rsplit("/", 1)[-1]
    return not last.startswith(".") and not last.lower().endswith((".tmp", ".part"))


def is_image_name(name: str) -> bool:
    """Whether a name promises an image; a directory of such a name is intake, for the quarantine."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_subfolder(item: os.DirEntry[str]) -> bool:
    """Whether this is a camera's folder, where they are part of the drop folder; a link to one is not."""
    return has_intake_name(item.name) and not is_image_name(item.name) and item.is_dir(follow_symlinks=False)


def waiting_files(folder: Path, *, subfolders: bool = False) -> Iterator[Path]:
    """What waits in a drop folder right now, for people and for the ledger: read without owning the folder.

    Raises:
        FolderError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as items:
            for item in items:
                if subfolders and is_subfolder(item):
                    yield from waiting_files(folder / item.name)
                elif has_intake_name(item.name) and (
                    is_image_name(item.name) or not item.is_dir(follow_symlinks=False)
                ):
                    yield Path(item.path)
    except OSError as error:
        raise FolderError(
            f"drop_folder {folder}: {error.strerror}; create it, or correct the setting"
        ) from None
