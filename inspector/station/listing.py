"""Rules that say which names in a drop folder are intake, and a list of the files that wait there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inspector.errors import FolderError

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def has_intake_name(name: str) -> bool:
    """Whether a name is neither hidden nor temporary.

    Args:
        name: relative to the drop folder; a sub-folder's own name has been checked before.
    """
    last = name.rsplit("/", 1)[-1]
    return not last.startswith(".") and not last.lower().endswith((".tmp", ".part"))


def is_image_name(name: str) -> bool:
    """Whether a name ends like an image; a folder with such a name is intake too, and is quarantined."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_subfolder(item: os.DirEntry[str]) -> bool:
    """Whether this is a camera's folder, if sub-folders are part of the drop folder; a link to one is not."""
    return has_intake_name(item.name) and not is_image_name(item.name) and item.is_dir(follow_symlinks=False)


def waiting_files(folder: Path, *, subfolders: bool = False) -> Iterator[Path]:
    """List the files that wait in a drop folder, without locking it.

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
